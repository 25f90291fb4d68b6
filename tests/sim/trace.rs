//! What a run did: its last steps to show where it failed, and a digest of all of them to compare runs by.

use std::{collections::VecDeque, env, fmt};

/// How many of the last steps are shown, unless `FELICE_SIM_STEPS` says.
const SHOWN: usize = 60;

#[derive(Debug)]
pub struct Trace {
    shown: usize,
    last: VecDeque<String>,
    lines: u64,
    digest: u64,
}

impl Default for Trace {
    fn default() -> Trace {
        let shown = env::var("FELICE_SIM_STEPS").ok().and_then(|steps| steps.parse().ok());
        Trace { shown: shown.unwrap_or(SHOWN), last: VecDeque::new(), lines: 0, digest: 0 }
    }
}

impl Trace {
    pub fn note(&mut self, line: fmt::Arguments<'_>) {
        let line = line.to_string();
        // FNV-1a.
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.lines += 1;
        if self.last.len() >= self.shown {
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
