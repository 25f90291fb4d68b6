//! What the quorum keeps in the store, as bytes. openraft's types are made from these and never stored themselves, so
//! that a change of the library is no change of the format.

use std::collections::BTreeSet;

use bytes::Bytes;
use felice_protocol::{
    schema,
    schema::Stored,
    stored,
    wire::{Malformed, Unencodable, Writer},
};
use openraft::{EntryPayload, entry::RaftEntry, vote::RaftVote};

use super::raft::{
    CommittedLeader, LeaderId, LogEntry, LogId, Membership, RecordBatch, SnapshotMeta, StoredMembership, Vote,
};

schema! {
    /// An entry of the Raft log, at its index. One without records and voters is blank: it begins a leader's term.
    StoredEntry {
        term: i64,
        /// A batch of metadata records.
        records: Option<Bytes> [0+, tag 0],
        voters: Option<StoredVoters> [0+, tag 1],
    }

    StoredLogId {
        term: i64,
        index: i64,
    }

    /// For whom this node has voted, and whether a quorum did.
    StoredVote {
        term: i64,
        node_id: i32,
        committed: bool,
    }

    /// Who votes. Two configurations while one follows the other (joint consensus).
    StoredVoters {
        configs: Vec<StoredConfig>,
        /// All nodes: those in no configuration learn.
        node_ids: Vec<i32>,
    }

    StoredConfig {
        voter_ids: Vec<i32>,
    }

    /// The current snapshot: what it covers, and where its chunks are.
    StoredSnapshot {
        last_applied: Option<StoredLogId>,
        voters_at: Option<StoredLogId>,
        voters: StoredVoters,
        /// Which of the snapshots that were ever begun.
        number: i64,
        chunks: i32,
        bytes: i64,
    }
}

stored! {
    1 StoredEntry 0-0, flexible 0+;
    2 StoredLogId 0-0, flexible 0+;
    3 StoredVote 0-0, flexible 0+;
    4 StoredSnapshot 0-0, flexible 0+;
}

/// Bytes in the store that this version cannot read, or a value too large to be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("version {version} of {name} is not known; a newer version of Felice wrote it")]
    UnknownVersion { name: &'static str, version: i16 },
    #[error("{0} ends within its version")]
    Truncated(&'static str),
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Unencodable(#[from] Unencodable),
    #[error("{0} is out of range")]
    Range(&'static str),
}

/// The value's version in 16 bits, and the value.
pub fn to_bytes<T: Stored>(value: &T) -> Result<Bytes, FormError> {
    let mut writer = Writer::new();
    writer.put_slice(&T::VERSIONS.max.to_be_bytes());
    value.encode(&mut writer, T::VERSIONS.max)?;
    Ok(writer.into_bytes())
}

/// What [`to_bytes`] wrote.
pub fn from_bytes<T: Stored>(bytes: Vec<u8>) -> Result<T, FormError> {
    let bytes = Bytes::from(bytes);
    let Some((version, _)) = bytes.split_first_chunk::<2>() else { return Err(FormError::Truncated(T::NAME)) };
    let version = i16::from_be_bytes(*version);
    if !T::VERSIONS.contains(version) {
        return Err(FormError::UnknownVersion { name: T::NAME, version });
    }
    Ok(T::decode(&bytes.slice(2..), version)?)
}

impl StoredEntry {
    pub fn of(entry: &LogEntry) -> Result<StoredEntry, FormError> {
        let (records, voters) = match &entry.payload {
            EntryPayload::Blank => (None, None),
            EntryPayload::Normal(batch) => (Some(batch.0.clone()), None),
            EntryPayload::Membership(membership) => (None, Some(StoredVoters::of(membership)?)),
        };
        Ok(StoredEntry {
            term: to_i64(entry.log_id.leader_id.term, "term")?,
            records,
            voters,
            ..StoredEntry::default()
        })
    }

    pub fn entry(self, index: u64) -> Result<LogEntry, FormError> {
        let log_id = LogId::new(CommittedLeader::new(to_u64(self.term, "term")?), index);
        Ok(match (self.records, self.voters) {
            (Some(records), _) => LogEntry::new(log_id, EntryPayload::Normal(RecordBatch(records))),
            (None, Some(voters)) => LogEntry::new(log_id, EntryPayload::Membership(voters.membership()?)),
            (None, None) => LogEntry::new(log_id, EntryPayload::Blank),
        })
    }
}

impl StoredLogId {
    pub fn of(log_id: &LogId) -> Result<StoredLogId, FormError> {
        let term = to_i64(log_id.leader_id.term, "term")?;
        Ok(StoredLogId { term, index: to_i64(log_id.index, "log index")?, ..StoredLogId::default() })
    }

    pub fn log_id(&self) -> Result<LogId, FormError> {
        Ok(LogId::new(CommittedLeader::new(to_u64(self.term, "term")?), to_u64(self.index, "log index")?))
    }
}

impl StoredVote {
    pub fn of(vote: &Vote) -> Result<StoredVote, FormError> {
        let leader = vote.leader_id();
        let node_id = to_node_id(leader.voted_for)?;
        Ok(StoredVote {
            term: to_i64(leader.term, "term")?,
            node_id,
            committed: vote.committed,
            ..StoredVote::default()
        })
    }

    pub fn vote(&self) -> Result<Vote, FormError> {
        let leader =
            LeaderId { term: to_u64(self.term, "term")?, voted_for: to_u64(i64::from(self.node_id), "node id")? };
        Ok(Vote::from_leader_id(leader, self.committed))
    }
}

impl StoredVoters {
    pub fn of(membership: &Membership) -> Result<StoredVoters, FormError> {
        let configs = membership.get_joint_config().iter().map(|voters| {
            let voter_ids = voters.iter().map(|id| to_node_id(*id)).collect::<Result<_, _>>()?;
            Ok(StoredConfig { voter_ids, ..StoredConfig::default() })
        });
        let node_ids = membership.nodes().map(|(id, _)| to_node_id(*id)).collect::<Result<_, _>>()?;
        Ok(StoredVoters { configs: configs.collect::<Result<_, FormError>>()?, node_ids, ..StoredVoters::default() })
    }

    pub fn membership(&self) -> Result<Membership, FormError> {
        let ids = |ids: &[i32]| -> Result<BTreeSet<u64>, FormError> {
            ids.iter().map(|id| to_u64(i64::from(*id), "node id")).collect()
        };
        let configs = self.configs.iter().map(|config| ids(&config.voter_ids)).collect::<Result<_, _>>()?;
        Ok(Membership::new_with_defaults(configs, ids(&self.node_ids)?))
    }
}

impl StoredSnapshot {
    pub fn meta(&self) -> Result<SnapshotMeta, FormError> {
        let log_id = |id: &Option<StoredLogId>| id.as_ref().map(StoredLogId::log_id).transpose();
        Ok(SnapshotMeta {
            last_log_id: log_id(&self.last_applied)?,
            last_membership: StoredMembership::new(log_id(&self.voters_at)?, self.voters.membership()?),
        })
    }

    pub fn of(meta: &SnapshotMeta, number: i64, chunks: i32, bytes: i64) -> Result<StoredSnapshot, FormError> {
        let log_id = |id: &Option<LogId>| id.as_ref().map(StoredLogId::of).transpose();
        Ok(StoredSnapshot {
            last_applied: log_id(&meta.last_log_id)?,
            voters_at: log_id(meta.last_membership.log_id())?,
            voters: StoredVoters::of(meta.last_membership.membership())?,
            number,
            chunks,
            bytes,
            ..StoredSnapshot::default()
        })
    }
}

fn to_i64(value: u64, what: &'static str) -> Result<i64, FormError> {
    i64::try_from(value).map_err(|_| FormError::Range(what))
}

fn to_u64(value: i64, what: &'static str) -> Result<u64, FormError> {
    u64::try_from(value).map_err(|_| FormError::Range(what))
}

fn to_node_id(id: u64) -> Result<i32, FormError> {
    i32::try_from(id).map_err(|_| FormError::Range("node id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership() -> Membership {
        Membership::new_with_defaults(vec![BTreeSet::from([1, 2]), BTreeSet::from([2, 3])], [7])
    }

    fn log_id(term: u64, index: u64) -> LogId {
        LogId::new(CommittedLeader::new(term), index)
    }

    #[test]
    fn everything_comes_back() {
        for payload in [
            EntryPayload::Blank,
            EntryPayload::Normal(RecordBatch(Bytes::new())),
            EntryPayload::Normal(RecordBatch(Bytes::from_static(&[9; 1000]))),
            EntryPayload::Membership(membership()),
        ] {
            let entry = LogEntry::new(log_id(3, 17), payload);
            let bytes = to_bytes(&StoredEntry::of(&entry).unwrap()).unwrap();
            assert_eq!(from_bytes::<StoredEntry>(bytes.to_vec()).unwrap().entry(17).unwrap(), entry);
        }
        let vote = Vote::new_committed(5, 2);
        let bytes = to_bytes(&StoredVote::of(&vote).unwrap()).unwrap();
        assert_eq!(from_bytes::<StoredVote>(bytes.to_vec()).unwrap().vote().unwrap(), vote);
        let meta = SnapshotMeta {
            last_log_id: Some(log_id(3, 17)),
            last_membership: StoredMembership::new(Some(log_id(0, 0)), membership()),
        };
        let bytes = to_bytes(&StoredSnapshot::of(&meta, 3, 1, 100).unwrap()).unwrap();
        assert_eq!(from_bytes::<StoredSnapshot>(bytes.to_vec()).unwrap().meta().unwrap(), meta);
    }

    /// What is on a disk must stay readable: this form may gain tagged fields and versions, and never change.
    #[test]
    fn the_stored_form_is_fixed() {
        let entry = LogEntry::new(log_id(2, 1), EntryPayload::Normal(RecordBatch(Bytes::from_static(b"ab"))));
        let bytes = to_bytes(&StoredEntry::of(&entry).unwrap()).unwrap();
        assert_eq!(&bytes[..], b"\0\0\0\0\0\0\0\0\0\x02\x01\0\x03\x03ab");
        let voters = Membership::new_with_defaults(vec![BTreeSet::from([1])], []);
        let entry = LogEntry::new(log_id(0, 0), EntryPayload::Membership(voters));
        let bytes = to_bytes(&StoredEntry::of(&entry).unwrap()).unwrap();
        let expected = b"\0\0\0\0\0\0\0\0\0\0\x01\x01\x0e\x01\x02\x02\0\0\0\x01\0\x02\0\0\0\x01\0";
        assert_eq!(&bytes[..], expected);
    }

    #[test]
    fn what_is_not_known_is_named() {
        let newer = from_bytes::<StoredVote>(vec![0, 9, 1, 2, 3]).unwrap_err();
        assert_eq!(newer.to_string(), "version 9 of StoredVote is not known; a newer version of Felice wrote it");
        assert_eq!(from_bytes::<StoredVote>(vec![0]).unwrap_err(), FormError::Truncated("StoredVote"));
        assert!(matches!(from_bytes::<StoredVote>(vec![0, 0, 1]).unwrap_err(), FormError::Malformed(_)));
        let negative = StoredLogId { term: -1, index: 3, ..StoredLogId::default() };
        assert_eq!(negative.log_id(), Err(FormError::Range("term")));
    }
}
