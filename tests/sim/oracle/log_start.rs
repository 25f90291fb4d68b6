//! A log's start never goes back once it is promised, whatever happens: what was deleted stays so. And nothing is deleted that
//! nobody wanted to be.

use super::Violation;
use crate::{log::Log, model::Offset};

/// A log that was opened, where the records below `promised` were said to be deleted for good. Nobody has deleted anything from
/// `deleted_below` on.
pub fn check(log: &Log, promised: Offset, deleted_below: Offset) -> Result<(), Violation> {
    let start = log.log_start();
    if (promised..=deleted_below).contains(&start) {
        return Ok(());
    }
    let what = format!("the log begins at {start}, where {promised} was promised and {deleted_below} is the most");
    Err(Violation::new("log_start", what))
}
