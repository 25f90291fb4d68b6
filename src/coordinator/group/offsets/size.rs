//! What records of offsets take in their batch: what does not fit one is refused here, since the runtime could only throw the decision
//! away, and with it what others in the partition wait for.

use felice_protocol::coordinator::{GroupRecord, offsets::OffsetCommitValue};

use crate::coordinator::group::{GroupMachine, machine::Cx};

/// What a batch takes besides its records, as the runtime counts it.
const BATCH_OVERHEAD: usize = 64;
/// What a record takes besides its names: 32 bytes as the runtime counts it, and 10 for the rest of the key.
const RECORD_OVERHEAD: usize = 42;
/// What a value takes besides its metadata, in any version.
const VALUE_OVERHEAD: usize = 44;
/// Strings of a key, and of the values that have an expiry of their own, may not be longer.
const STRING_MAX: usize = i16::MAX as usize;

impl GroupMachine {
    /// Writes offsets or deletes them: all of it or, where that does not fit a batch, nothing.
    pub(super) fn write_or_nothing<T>(
        &mut self,
        cx: &mut Cx<'_>,
        write: impl FnOnce(&mut GroupMachine, &mut Cx<'_>) -> T,
    ) -> Result<T, T> {
        let (state, written) = (self.state.clone(), cx.out.records.len());
        let done = write(self, cx);
        let sizes = cx.out.records.iter().skip(written).map(record_bytes);
        if sizes.fold(BATCH_OVERHEAD, usize::saturating_add) <= self.settings.record_max_bytes {
            return Ok(done);
        }
        self.state = state;
        cx.out.records.truncate(written);
        Err(done)
    }
}

/// Not less than what an offset's tombstone takes.
pub(super) fn tombstone_bytes(group: &str, topic: &str) -> usize {
    RECORD_OVERHEAD + group.len() + topic.len()
}

/// Not less than what an offset's record takes. One that cannot be written at all fits nowhere.
fn record_bytes(record: &GroupRecord) -> usize {
    let GroupRecord::OffsetCommit(key, value) = record else {
        debug_assert!(false, "{record:?} is of no offset");
        return usize::MAX;
    };
    let is_too_long = |value: &OffsetCommitValue| value.expire_timestamp != -1 && value.metadata.len() > STRING_MAX;
    if key.group.len() > STRING_MAX || key.topic.len() > STRING_MAX || value.as_ref().is_some_and(is_too_long) {
        return usize::MAX;
    }
    let value_bytes = value.as_ref().map_or(0, |value| VALUE_OVERHEAD + value.metadata.len());
    tombstone_bytes(&key.group, &key.topic) + value_bytes
}
