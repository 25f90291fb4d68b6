//! What must hold whatever happens, one promise a file.

pub mod acknowledged;
pub mod compaction;
pub mod duplicates;
pub mod high_watermark;
pub mod indexes;
pub mod log_start;
pub mod metadata;
pub mod order;
pub mod producers;
pub mod recovery;
pub mod vanished;
pub mod view;

use std::fmt;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The promise, by the name of its file.
    pub oracle: &'static str,
    pub what: String,
}

impl Violation {
    pub fn new(oracle: &'static str, what: impl Into<String>) -> Violation {
        Violation { oracle, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.what)
    }
}
