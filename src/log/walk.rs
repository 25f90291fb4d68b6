//! What of a segment may be handed out that this process did not write.
//!
//! A start after a clean stop trusts the files, which a disk may have changed since. So the first read of each part of them walks
//! over its headers: each batch must begin where the one before says it ends, in the file and in offsets. What the CRC does not
//! cover (base offset) shows in what comes next; where offsets leave a hole, as compaction makes them, the CRC of the batch before
//! says whether it is one. A part that was walked over once, and all that was appended since the start, is read without that.
//!
//! So a client never gets a batch at another batch's offsets, nor a frame that makes no sense. A payload is not looked at: its CRC
//! tells whoever reads it.

use std::sync::atomic::{AtomicU64, Ordering};

use felice_protocol::record::BatchHeader;

use super::{
    files::LogError,
    segment::{Batches, Located, Segment, Span},
};
use crate::model::Offset;

/// Headers are read so many bytes at once.
const WALK_SIZE: usize = 64 * 1024;

/// Which part of a file is known to be whole batches.
#[derive(Debug)]
pub(super) struct Known {
    /// From here on this process wrote all of it.
    appended_from: u64,
    /// A part that was walked over, its two ends in 32 bits each.
    walked: AtomicU64,
}

impl Known {
    /// Of a file that has `size` bytes before this process writes to it.
    pub fn from(size: u64) -> Known {
        Known { appended_from: size, walked: AtomicU64::new(0) }
    }

    /// Whether all from here to `end` is known.
    pub fn covers(&self, position: u64, end: u64) -> bool {
        if position >= self.appended_from {
            return true;
        }
        let (from, to) = unpack(self.walked.load(Ordering::Relaxed));
        let to = if to >= self.appended_from { u64::MAX } else { to };
        (from..to).contains(&position) && end <= to
    }

    /// Notes a part. What does not touch what is known already takes its place: whoever reads goes on there.
    fn note(&self, from: u64, to: u64) {
        let mut part = (from, to);
        let known = unpack(self.walked.load(Ordering::Relaxed));
        if part.0 <= known.1 && known.0 <= part.1 {
            part = (part.0.min(known.0), part.1.max(known.1));
        }
        // Where two threads meet, one of them is forgotten, and that part walked over again.
        if let (Ok(from), Ok(to)) = (u32::try_from(part.0), u32::try_from(part.1)) {
            self.walked.store(u64::from(from) << 32 | u64::from(to), Ordering::Relaxed);
        }
    }
}

fn unpack(walked: u64) -> (u64, u64) {
    (walked >> 32, walked & u64::from(u32::MAX))
}

/// A part of a segment that is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub from: Offset,
    /// No batch reaches beyond.
    pub until: Offset,
    pub max_bytes: usize,
    /// The first batch even where it is larger.
    pub at_least_one: bool,
    /// Where the next segment begins, or the log ends.
    pub limit: Offset,
}

impl Segment {
    /// As [`Segment::span`], looking at each header. Ends before damage; damage at the beginning is an error.
    pub fn walk(&self, start: Located, end: u64, wanted: Wanted) -> Result<Span, LogError> {
        let Located { position, header: first, before, by_index } = start;
        let mut buffer = vec![0; WALK_SIZE];
        if let Some((at, header)) = before {
            // Else the batch that is asked for may be the one before, whose damaged header says that it ends earlier.
            self.check_gap(at, &header, Offset(first.base_offset))?;
        }
        let begins_at = before.map_or(self.base.0, |(_, header)| header.next_offset());
        let mut is_sure = by_index || first.base_offset == begins_at;
        let mut batches = Batches::new(self, position, end, &mut buffer);
        let (mut at, mut header) = (position, first);
        batches.next()?;
        let mut next = wanted.from;
        loop {
            let after = at + header.size() as u64;
            let fits = after - position <= wanted.max_bytes as u64 || (at == position && wanted.at_least_one);
            let is_wanted = fits && header.next_offset() <= wanted.until.0;
            if !is_wanted && at > position {
                break;
            }
            let following = match self.following(&mut batches, at, &header, wanted.limit, is_sure) {
                Ok(following) => following,
                // What comes before is good; the next read begins with this one.
                Err(LogError::Corrupt { .. }) if at > position => break,
                Err(error) => return Err(error),
            };
            if !is_wanted {
                return Ok(Span { position, length: 0, next: Some(wanted.from) });
            }
            (at, next) = (after, Offset(header.next_offset()));
            let Some(following) = following else { break };
            is_sure = following.base_offset == header.next_offset();
            header = following;
        }
        self.known.note(position, at);
        let length = usize::try_from(at - position).unwrap_or(usize::MAX);
        Ok(Span { position, length, next: Some(next) })
    }

    /// The header after a batch, once the two agree; `None` where the file ends, or what follows is damaged and this batch is not.
    /// `is_sure` says that something else than its own header says that this batch begins where it does.
    fn following(
        &self,
        batches: &mut Batches<'_>,
        position: u64,
        header: &BatchHeader,
        limit: Offset,
        is_sure: bool,
    ) -> Result<Option<BatchHeader>, LogError> {
        let corrupt = |why: String| LogError::corrupt(self.path(), position, why);
        if header.next_offset() > limit.0 {
            return Err(corrupt(format!("a batch up to offset {}, where {limit} comes next", header.last_offset())));
        }
        match batches.next() {
            Ok(Some((_, following))) => {
                self.check_gap(position, header, Offset(following.base_offset))?;
                Ok(Some(following))
            }
            Ok(None) => {
                self.check_gap(position, header, limit)?;
                Ok(None)
            }
            Err(LogError::Corrupt { why, .. }) if !is_sure => {
                Err(corrupt(format!("it and the next batch do not go together: {why}")))
            }
            Err(LogError::Corrupt { .. }) => {
                self.check_crc(position, header)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Where offsets leave a hole behind a batch, its CRC says whether the batch really ends there.
    fn check_gap(&self, position: u64, header: &BatchHeader, next: Offset) -> Result<(), LogError> {
        if header.next_offset() == next.0 { Ok(()) } else { self.check_crc(position, header) }
    }

    fn check_crc(&self, position: u64, header: &BatchHeader) -> Result<(), LogError> {
        let end = position + header.size() as u64;
        let mut buffer = vec![0; WALK_SIZE];
        if Batches::new(self, position, end, &mut buffer).crc_matches(position, header)? {
            return Ok(());
        }
        Err(LogError::corrupt(self.path(), position, "the CRC does not match"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_grows_as_it_is_read() {
        let known = Known::from(1000);
        assert!(known.covers(1000, 9999) && !known.covers(999, 1000) && !known.covers(0, 0));
        known.note(100, 300);
        assert!(known.covers(100, 300) && known.covers(150, 200) && !known.covers(150, 301) && !known.covers(99, 200));
        known.note(300, 500);
        assert!(known.covers(100, 500));
        known.note(50, 120);
        assert!(known.covers(50, 500));
        known.note(700, 800);
        assert!(known.covers(700, 800) && !known.covers(50, 60), "one part is remembered");
        known.note(800, 1000);
        assert!(known.covers(700, u64::MAX), "together with all that follows");
        let whole = Known::from(0);
        assert!(whole.covers(0, u64::MAX));
        known.note(0, 1 << 40);
        assert!(!known.covers(0, 1), "what does not fit is not remembered");
    }
}
