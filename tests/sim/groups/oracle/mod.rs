//! What must hold of groups whatever happens, one promise a file.

pub mod epochs;
pub mod offsets;
pub mod ownership;
pub mod quiet;
pub mod replay;
pub mod vanished;

pub use crate::sim::oracle::Violation;
