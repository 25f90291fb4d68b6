//! Control records: what a log says about itself, and consumers do not see.
//!
//! The key is `version i16 | type i16`. An end-transaction marker's value is `version i16 | coordinator epoch i32`.
//! Versions may grow at their end only, so newer ones are read as version 0. (KIP-98; Kafka's `ControlRecordType`
//! and `EndTransactionMarker`.)

use bytes::Bytes;

use super::{BatchBuilder, Codec, NO_SEQUENCE, Record};

/// What a control record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlType {
    /// The end of an aborted transaction.
    Abort,
    /// The end of a committed transaction.
    Commit,
    /// The metadata quorum has a new leader (KIP-595).
    LeaderChange,
    /// A snapshot of the metadata log begins (KIP-630).
    SnapshotHeader,
    /// A snapshot of the metadata log ends.
    SnapshotFooter,
    /// The version of the metadata quorum (KIP-853).
    KraftVersion,
    /// The voters of the metadata quorum (KIP-853).
    KraftVoters,
    /// To be passed over, not refused.
    Unknown(i16),
}

/// Why a record is not the control record that its batch says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "a message names its fields")]
pub enum ControlError {
    /// It ends too early.
    #[error("control record without a whole {0}")]
    Truncated(&'static str),
    /// A version that is below 0 or, where it matters, not known.
    #[error("control record {what} of version {version}")]
    Version { what: &'static str, version: i16 },
}

impl ControlType {
    /// The type with this number in a key.
    pub fn from_id(id: i16) -> ControlType {
        match id {
            0 => ControlType::Abort,
            1 => ControlType::Commit,
            2 => ControlType::LeaderChange,
            3 => ControlType::SnapshotHeader,
            4 => ControlType::SnapshotFooter,
            5 => ControlType::KraftVersion,
            6 => ControlType::KraftVoters,
            id => ControlType::Unknown(id),
        }
    }

    /// Its number in a key.
    pub fn id(self) -> i16 {
        match self {
            ControlType::Abort => 0,
            ControlType::Commit => 1,
            ControlType::LeaderChange => 2,
            ControlType::SnapshotHeader => 3,
            ControlType::SnapshotFooter => 4,
            ControlType::KraftVersion => 5,
            ControlType::KraftVoters => 6,
            ControlType::Unknown(id) => id,
        }
    }

    /// Reads a control record's key.
    pub fn parse(key: Option<&[u8]>) -> Result<ControlType, ControlError> {
        let Some([v0, v1, t0, t1, ..]) = key else { return Err(ControlError::Truncated("key")) };
        match i16::from_be_bytes([*v0, *v1]) {
            version if version < 0 => Err(ControlError::Version { what: "key", version }),
            _ => Ok(ControlType::from_id(i16::from_be_bytes([*t0, *t1]))),
        }
    }

    /// The key of such a record.
    pub fn key(self) -> [u8; 4] {
        let [t0, t1] = self.id().to_be_bytes();
        [0, 0, t0, t1]
    }
}

/// The end of a producer's transaction on a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTransactionMarker {
    /// Whether the transaction was committed, not aborted.
    pub committed: bool,
    /// The leader epoch of the coordinator's partition.
    pub coordinator_epoch: i32,
}

impl EndTransactionMarker {
    /// Reads a record of a control batch; `None` is another control record.
    pub fn parse(record: &Record) -> Result<Option<EndTransactionMarker>, ControlError> {
        EndTransactionMarker::parse_parts(record.key.as_deref(), record.value.as_deref())
    }

    /// As [`EndTransactionMarker::parse`], of key and value.
    pub fn parse_parts(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<EndTransactionMarker>, ControlError> {
        let committed = match ControlType::parse(key)? {
            ControlType::Commit => true,
            ControlType::Abort => false,
            _ => return Ok(None),
        };
        let Some([v0, v1, e0, e1, e2, e3, ..]) = value else { return Err(ControlError::Truncated("value")) };
        match i16::from_be_bytes([*v0, *v1]) {
            version if version < 0 => Err(ControlError::Version { what: "value", version }),
            _ => {
                let coordinator_epoch = i32::from_be_bytes([*e0, *e1, *e2, *e3]);
                Ok(Some(EndTransactionMarker { committed, coordinator_epoch }))
            }
        }
    }

    /// The type that its key has.
    pub fn control_type(&self) -> ControlType {
        if self.committed { ControlType::Commit } else { ControlType::Abort }
    }

    /// The record's value.
    pub fn value(&self) -> [u8; 6] {
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        value
    }

    /// A batch of this one marker, at offset 0 of leader epoch -1: to be appended as a produced batch is.
    pub fn batch(&self, producer_id: i64, producer_epoch: i16, timestamp_ms: i64) -> Bytes {
        BatchBuilder::new(Codec::None)
            .producer(producer_id, producer_epoch, NO_SEQUENCE)
            .transactional()
            .control()
            .record(timestamp_ms, Some(&self.control_type().key()), Some(&self.value()))
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Batch;
    use super::*;

    #[test]
    fn markers_survive_a_round_trip() {
        for marker in [
            EndTransactionMarker { committed: true, coordinator_epoch: 12 },
            EndTransactionMarker { committed: false, coordinator_epoch: -1 },
        ] {
            let (batch, rest) = Batch::split_first(&marker.batch(7, 3, 1000)).unwrap();
            assert!(rest.is_empty());
            batch.verify_crc().unwrap();
            let header = batch.header();
            assert!(header.is_control() && header.is_transactional());
            assert_eq!((header.producer_id, header.producer_epoch, header.last_sequence()), (7, 3, NO_SEQUENCE));
            let records: Vec<Record> = batch.records(0).unwrap().map(Result::unwrap).collect();
            assert_eq!(records.len(), 1);
            assert_eq!(EndTransactionMarker::parse(&records[0]), Ok(Some(marker)));
        }
    }

    #[test]
    fn other_control_records_are_told_apart() {
        for id in -1..8 {
            assert_eq!(ControlType::parse(Some(&ControlType::from_id(id).key())), Ok(ControlType::from_id(id)));
        }
        assert_eq!(ControlType::parse(Some(&[0, 9, 0, 2, 5])), Ok(ControlType::LeaderChange));
        assert_eq!(EndTransactionMarker::parse_parts(Some(&ControlType::LeaderChange.key()), None), Ok(None));
    }

    #[test]
    fn torn_ones_are_errors() {
        let commit = ControlType::Commit.key();
        for (key, value, error) in [
            (None, None, ControlError::Truncated("key")),
            (Some(&commit[..3]), None, ControlError::Truncated("key")),
            (Some(&[0x80, 0, 0, 1][..]), None, ControlError::Version { what: "key", version: i16::MIN }),
            (Some(&commit[..]), None, ControlError::Truncated("value")),
            (Some(&commit[..]), Some(&[0; 5][..]), ControlError::Truncated("value")),
            (Some(&commit[..]), Some(&[0xff; 6][..]), ControlError::Version { what: "value", version: -1 }),
        ] {
            assert_eq!(EndTransactionMarker::parse_parts(key, value), Err(error));
        }
    }
}
