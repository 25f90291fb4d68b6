//! Walks over the whole batches of a segment, in large reads and one buffer.

use std::ops::ControlFlow;

use felice_protocol::record::{BatchHeader, HEADER_LEN};

use super::{CompactError, Pace};
use crate::log::{
    files::LogError,
    segment::{Segment, checked_header},
};

/// What a batch's CRC covers begins here.
const COVERED_FROM: usize = 21;

/// One buffer for all segments of a pass. A batch that is larger than it makes it grow, for as long as that segment takes.
#[derive(Debug)]
pub(super) struct BatchReader {
    buffer: Vec<u8>,
    size: usize,
}

/// A whole batch, whose CRC is right.
pub(super) struct StoredBatch<'a> {
    pub header: BatchHeader,
    pub bytes: &'a [u8],
    /// Where it lies in its segment.
    pub position: u64,
    segment: &'a Segment,
}

impl StoredBatch<'_> {
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// What is wrong with it, as an error that says where it lies.
    pub fn corrupt(&self, why: impl ToString) -> LogError {
        LogError::corrupt(self.segment.path(), self.position, why)
    }
}

impl BatchReader {
    /// Reads so many bytes at once.
    pub fn new(size: usize) -> BatchReader {
        BatchReader { buffer: Vec::new(), size: size.max(4096) }
    }

    /// Shows the batches from `position` on, where one begins. `visit` may break off, which is no error.
    ///
    /// # Errors
    /// A batch that cannot be what was written, by its place and offsets, and whatever `visit` fails with.
    pub fn walk(
        &mut self,
        segment: &Segment,
        mut position: u64,
        pace: &mut Pace<'_>,
        mut visit: impl FnMut(&StoredBatch<'_>, &mut Pace<'_>) -> Result<ControlFlow<()>, CompactError>,
    ) -> Result<(), CompactError> {
        let end = segment.size();
        let mut expected = segment.base.0;
        self.buffer.resize(self.size, 0);
        while position < end {
            let left = usize::try_from(end - position).unwrap_or(usize::MAX);
            let wanted = left.min(self.buffer.len());
            let chunk = self.buffer.get_mut(..wanted).unwrap_or_default();
            if segment.read_at(chunk, position)? != wanted {
                return Err(LogError::corrupt(segment.path(), position, "the file ends within a batch").into());
            }
            let mut at = 0;
            while let Some(rest) = chunk.get(at..).filter(|rest| rest.len() >= HEADER_LEN) {
                let position = position + at as u64;
                let corrupt = |why: String| LogError::corrupt(segment.path(), position, why);
                let header = checked_header(rest, expected).map_err(corrupt)?;
                let Some(bytes) = rest.get(..header.size()) else { break };
                if crc32c::crc32c(bytes.get(COVERED_FROM..).unwrap_or_default()) != header.crc {
                    return Err(corrupt("the CRC does not match".to_owned()).into());
                }
                if visit(&StoredBatch { header, bytes, position, segment }, pace)?.is_break() {
                    return Ok(());
                }
                at += header.size();
                expected = header.next_offset();
            }
            if at == 0 {
                let header =
                    checked_header(chunk, expected).map_err(|why| LogError::corrupt(segment.path(), position, why))?;
                if header.size() > left {
                    let why = format!("a batch of {} bytes where {left} are left", header.size());
                    return Err(LogError::corrupt(segment.path(), position, why).into());
                }
                self.buffer.resize(header.size(), 0);
                continue;
            }
            position += at as u64;
            pace.step(at as u64)?;
        }
        if self.buffer.len() > self.size {
            self.buffer.truncate(self.size);
            self.buffer.shrink_to_fit();
        }
        Ok(())
    }
}
