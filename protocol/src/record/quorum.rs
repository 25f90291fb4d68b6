//! Control records of the metadata log: who leads and votes, and where a snapshot begins and ends (KIP-595, KIP-630,
//! KIP-853). Each value begins with its own version.

use bytes::Bytes;

use super::{ControlError, ControlType};
use crate::{
    Uuid, schema,
    schema::Stored,
    stored,
    wire::{Malformed, Unencodable, Writer},
};

schema! {
    /// The quorum has a new leader. Version 1 has the voters' directories (KIP-853).
    LeaderChangeMessage {
        version: i16,
        leader_id: i32,
        voters: Vec<Voter>,
        /// Those who voted for it.
        granting_voters: Vec<Voter>,
    }

    /// A voter.
    Voter {
        voter_id: i32,
        voter_directory_id: Uuid [1+],
    }

    /// A snapshot begins.
    SnapshotHeaderRecord {
        version: i16,
        /// Milliseconds since 1970: the append time of the last batch that is in the snapshot.
        last_contained_log_timestamp: i64,
    }

    /// A snapshot ends.
    SnapshotFooterRecord {
        version: i16,
    }

    /// The quorum works by the rules of this version from here on.
    KRaftVersionRecord {
        version: i16,
        /// 0 voters are configured, 1 they are recorded (KIP-853).
        kraft_version: i16,
    }

    /// The quorum has these voters from here on.
    VotersRecord {
        version: i16,
        voters: Vec<VoterState>,
    }

    /// A voter, where it is and what it knows.
    VoterState {
        voter_id: i32,
        voter_directory_id: Uuid,
        endpoints: Vec<Endpoint>,
        kraft_version_feature: KRaftVersionFeature,
    }

    /// One of a voter's listeners.
    Endpoint {
        name: String,
        host: String,
        port: u16,
    }

    /// The levels of `kraft.version` that a voter knows.
    KRaftVersionFeature {
        min_supported_version: i16,
        max_supported_version: i16,
    }
}

stored! {
    2 LeaderChangeMessage 0-1, flexible 0+;
    3 SnapshotHeaderRecord 0-0, flexible 0+;
    4 SnapshotFooterRecord 0-0, flexible 0+;
    5 KRaftVersionRecord 0-0, flexible 0+;
    6 VotersRecord 0-0, flexible 0+;
}

/// A control record of the metadata log.
#[derive(Debug, Clone, PartialEq)]
pub enum QuorumRecord {
    /// See [`LeaderChangeMessage`].
    LeaderChange(LeaderChangeMessage),
    /// See [`SnapshotHeaderRecord`].
    SnapshotHeader(SnapshotHeaderRecord),
    /// See [`SnapshotFooterRecord`].
    SnapshotFooter(SnapshotFooterRecord),
    /// See [`KRaftVersionRecord`].
    KraftVersion(KRaftVersionRecord),
    /// See [`VotersRecord`].
    KraftVoters(VotersRecord),
}

/// Why a record is not the control record that its key says it is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QuorumRecordError {
    /// The key is none.
    #[error(transparent)]
    Key(#[from] ControlError),
    /// The value is not what the key says.
    #[error(transparent)]
    Value(#[from] Malformed),
}

impl QuorumRecord {
    /// Reads a record of a control batch; `None` is another control record. A version that is newer than those known is
    /// read as the newest known: what is added comes at the end.
    pub fn parse(key: Option<&[u8]>, value: &Bytes) -> Result<Option<QuorumRecord>, QuorumRecordError> {
        fn read<T: Stored>(value: &Bytes) -> Result<T, Malformed> {
            let version = value.first_chunk().map_or(0, |version| i16::from_be_bytes(*version));
            T::decode(value, version.min(T::VERSIONS.max))
        }
        Ok(Some(match ControlType::parse(key)? {
            ControlType::LeaderChange => QuorumRecord::LeaderChange(read(value)?),
            ControlType::SnapshotHeader => QuorumRecord::SnapshotHeader(read(value)?),
            ControlType::SnapshotFooter => QuorumRecord::SnapshotFooter(read(value)?),
            ControlType::KraftVersion => QuorumRecord::KraftVersion(read(value)?),
            ControlType::KraftVoters => QuorumRecord::KraftVoters(read(value)?),
            ControlType::Abort | ControlType::Commit | ControlType::Unknown(_) => return Ok(None),
        }))
    }

    /// The type that its key has.
    pub fn control_type(&self) -> ControlType {
        match self {
            QuorumRecord::LeaderChange(_) => ControlType::LeaderChange,
            QuorumRecord::SnapshotHeader(_) => ControlType::SnapshotHeader,
            QuorumRecord::SnapshotFooter(_) => ControlType::SnapshotFooter,
            QuorumRecord::KraftVersion(_) => ControlType::KraftVersion,
            QuorumRecord::KraftVoters(_) => ControlType::KraftVoters,
        }
    }

    /// The record's value, in the version that the value says it has.
    pub fn value(&self) -> Result<Bytes, Unencodable> {
        let mut w = Writer::new();
        match self {
            QuorumRecord::LeaderChange(value) => value.encode(&mut w, value.version),
            QuorumRecord::SnapshotHeader(value) => value.encode(&mut w, value.version),
            QuorumRecord::SnapshotFooter(value) => value.encode(&mut w, value.version),
            QuorumRecord::KraftVersion(value) => value.encode(&mut w, value.version),
            QuorumRecord::KraftVoters(value) => value.encode(&mut w, value.version),
        }?;
        Ok(w.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_in_the_version_that_it_begins_with() {
        let voter = Voter { voter_id: 1, voter_directory_id: Uuid([7; 16]), ..Voter::default() };
        let message = LeaderChangeMessage { version: 1, leader_id: 1, voters: vec![voter], ..Default::default() };
        let record = QuorumRecord::LeaderChange(message.clone());
        let (key, value) = (record.control_type().key(), record.value().unwrap());
        assert_eq!(QuorumRecord::parse(Some(&key), &value), Ok(Some(record)));

        let mut newer = value.to_vec();
        newer[..2].copy_from_slice(&9i16.to_be_bytes());
        newer.extend_from_slice(b"what was added");
        let read = QuorumRecord::parse(Some(&key), &Bytes::from(newer));
        assert_eq!(read, Ok(Some(QuorumRecord::LeaderChange(LeaderChangeMessage { version: 9, ..message.clone() }))));

        let unfit = QuorumRecord::LeaderChange(LeaderChangeMessage { version: 0, ..message });
        assert_eq!(
            unfit.value().unwrap_err().to_string(),
            "LeaderChangeMessage.voters[0].voter_directory_id: the version has no such field"
        );
    }

    #[test]
    fn what_is_none_is_told() {
        let parse = |key: &[u8], value: &'static [u8]| QuorumRecord::parse(Some(key), &Bytes::from_static(value));
        assert_eq!(parse(&ControlType::Commit.key(), b"\0\0\0\0\0\x01"), Ok(None));
        assert_eq!(parse(&ControlType::Unknown(9).key(), b""), Ok(None));
        let error = |key: &[u8], value| parse(key, value).unwrap_err().to_string();
        assert_eq!(error(b"\0", b""), "control record without a whole key");
        assert_eq!(
            error(&ControlType::SnapshotFooter.key(), b"\0"),
            "SnapshotFooterRecord.version: the frame ends within it"
        );
        assert_eq!(
            error(&ControlType::SnapshotFooter.key(), b"\xff\xff\0"),
            "SnapshotFooterRecord: version -1 is not known"
        );
    }
}
