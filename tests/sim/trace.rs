//! What a run did: its last steps to show where it failed, and a digest of all of them to compare runs by.

use std::{collections::VecDeque, fmt};

const SHOWN: usize = 60;

#[derive(Debug, Default)]
pub struct Trace {
    last: VecDeque<String>,
    lines: u64,
    digest: u64,
}

impl Trace {
    pub fn note(&mut self, line: fmt::Arguments<'_>) {
        let line = line.to_string();
        // FNV-1a.
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.lines += 1;
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The same for the same lines in the same order.
    pub fn digest(&self) -> (u64, u64) {
        (self.lines, self.digest)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.lines - self.last.len() as u64;
        for (number, line) in (first..).zip(&self.last) {
            writeln!(f, "  {number:5}  {line}")?;
        }
        Ok(())
    }
}
