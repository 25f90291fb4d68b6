//! What the simulation wants to know of a log besides what it serves: its producers, and whether its indexes are right.

use std::collections::BTreeMap;

use super::super::{
    index::{Entry, Index},
    producers::Producers,
    segment::{Batches, Segment},
};
use super::*;

macro_rules! ensure {
    ($holds:expr, $($why:tt)*) => { if !$holds { return Err(format!($($why)*)); } };
}

impl Log {
    /// What it knows of its idempotent producers.
    pub fn producers(&self) -> Producers {
        self.appender.lock().producers.clone()
    }

    /// Whether every entry of its indexes leads to the batch that it names and says of it what is true.
    pub fn check_indexes(&self) -> Result<(), String> {
        let segments = self.segments.load_full();
        for (at, segment) in segments.iter().enumerate() {
            let is_closed = at + 1 < segments.len();
            check_segment(segment, is_closed).map_err(|why| format!("segment {}: {why}", segment.base))?;
        }
        Ok(())
    }
}

fn check_segment(segment: &Segment, is_closed: bool) -> Result<(), String> {
    let mut buffer = vec![0; 16 << 10];
    let mut batches = Batches::new(segment, 0, segment.size(), &mut buffer);
    // By last offset: where each batch begins, and the largest timestamp up to it.
    let mut known = BTreeMap::new();
    let mut largest = Timestamp::NONE;
    while let Some((position, header)) = batches.next().map_err(|error| error.to_string())? {
        largest = largest.max(Timestamp(header.max_timestamp));
        known.insert(header.last_offset(), (position, largest));
    }
    for entry in entries(&segment.offsets)? {
        let at = segment.base.0 + i64::from(entry.relative_offset);
        let position = known.get(&at).map(|(position, _)| *position);
        ensure!(position == Some(entry.position.into()), "{entry:?} of the index, where {at} is at {position:?}");
    }
    for entry in entries(&segment.times)? {
        let at = segment.base.0 + i64::from(entry.relative_offset);
        let timestamp = known.get(&at).map(|(_, timestamp)| timestamp.0);
        ensure!(
            timestamp == Some(entry.timestamp),
            "{entry:?} of the time index, where it is {timestamp:?} up to {at}"
        );
    }
    let said = segment.largest().map_or(Timestamp::NONE, |largest| largest.timestamp);
    ensure!(said == largest, "its largest timestamp is said to be {said:?} and is {largest:?}");
    let is_complete =
        !is_closed || largest.0 < 0 || segment.times.last().is_some_and(|last| last.timestamp == largest.0);
    ensure!(is_complete, "the time index lacks the largest timestamp");
    Ok(())
}

/// All of an index, the last one first, found as a lookup would.
fn entries<E: Entry>(index: &Index<E>) -> Result<Vec<E>, String> {
    let mut all: Vec<E> = Vec::new();
    let mut last = index.last();
    while let Some(entry) = last {
        all.push(entry);
        last = index.last_where(|before| before.key() < entry.key()).map_err(|error| error.to_string())?;
    }
    ensure!(all.len() as u64 == index.entries(), "{} entries are found of {}", all.len(), index.entries());
    Ok(all)
}
