//! What Kafka keeps in logs and within other messages, against bytes of Kafka's own classes: coordinators' records,
//! consumers' protocol, control records, principals.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::stored_vectors;
use felice_protocol::{
    coordinator::{GroupRecord, RecordType, ShareStateRecord, TransactionRecord},
    messages::{consumer_protocol::*, envelope::DefaultPrincipalData},
    record::{ControlType, EndTransactionMarker, quorum::QuorumRecord},
    schema::Stored,
};

/// Vectors by the name of the class and its version, to be taken out as they are compared.
struct Left(BTreeMap<(String, i16), Vec<Bytes>>);

impl Left {
    fn take(&mut self, name: &str, version: i16) -> Vec<Bytes> {
        self.0.remove(&(name.to_owned(), version)).unwrap_or_else(|| panic!("{name} v{version} has no vectors"))
    }

    /// Keys and values of one topic's records.
    fn records(
        &mut self,
        types: &[RecordType],
        round_trip: impl Fn(&Bytes, Option<&Bytes>, i16) -> (RecordType, Bytes, Option<Bytes>),
    ) {
        for kind in types {
            let keys = self.take(&format!("{}Key", kind.name), 0);
            for version in kind.versions.min..=kind.versions.max {
                let values = self.take(&format!("{}Value", kind.name), version);
                assert_eq!(keys.len(), values.len());
                for (key, value) in keys.iter().zip(&values) {
                    let made = round_trip(key, Some(value), version);
                    assert_eq!(made, (*kind, key.clone(), Some(value.clone())), "v{version}");
                    let made = round_trip(key, None, version);
                    assert_eq!(made, (*kind, key.clone(), None), "v{version}");
                }
            }
        }
    }

    fn versioned<T: Stored>(&mut self) {
        for version in T::VERSIONS.min..=T::VERSIONS.max {
            for bytes in self.take(T::NAME, version) {
                let value = T::decode_with_version(&bytes).unwrap();
                assert_eq!(value.encode_with_version(version).unwrap(), bytes, "{} v{version}", T::NAME);
            }
        }
    }

    fn quorum(&mut self, name: &str, control_type: ControlType, versions: std::ops::RangeInclusive<i16>) {
        for version in versions {
            for bytes in self.take(name, version) {
                let record = QuorumRecord::parse(Some(&control_type.key()), &bytes).unwrap().unwrap();
                assert_eq!((record.control_type(), record.value().unwrap()), (control_type, bytes), "{name}");
            }
        }
    }
}

/// Decodes a record and encodes it again.
macro_rules! round_trip {
    ($records:ident) => {
        |key, value, version| {
            let record = $records::decode(key, value).unwrap();
            (record.record_type(), record.encode_key().unwrap(), record.encode_value(version).unwrap())
        }
    };
}

#[test]
fn kafkas_bytes_come_back_identical() {
    let mut left = Left(stored_vectors());
    left.records(GroupRecord::TYPES, round_trip!(GroupRecord));
    left.records(TransactionRecord::TYPES, round_trip!(TransactionRecord));
    left.records(ShareStateRecord::TYPES, round_trip!(ShareStateRecord));
    left.versioned::<ConsumerProtocolSubscription>();
    left.versioned::<ConsumerProtocolAssignment>();
    left.versioned::<DefaultPrincipalData>();
    left.quorum("LeaderChangeMessage", ControlType::LeaderChange, 0..=1);
    left.quorum("SnapshotHeaderRecord", ControlType::SnapshotHeader, 0..=0);
    left.quorum("SnapshotFooterRecord", ControlType::SnapshotFooter, 0..=0);
    left.quorum("KRaftVersionRecord", ControlType::KraftVersion, 0..=0);
    left.quorum("VotersRecord", ControlType::KraftVoters, 0..=0);
    for value in left.take("EndTxnMarker", 0) {
        let marker =
            EndTransactionMarker::parse_parts(Some(&ControlType::Commit.key()), Some(&value)).unwrap().unwrap();
        assert_eq!((marker.committed, marker.value()[..].to_vec()), (true, value.to_vec()));
    }
    assert!(left.0.is_empty(), "nothing reads {:?}", left.0.keys());
}

#[test]
fn a_record_cut_anywhere_is_an_error() {
    let vectors = stored_vectors();
    for kind in GroupRecord::TYPES {
        for key in &vectors[&(format!("{}Key", kind.name), 0)] {
            for cut in 0..key.len() {
                GroupRecord::decode(&key.slice(..cut), None).unwrap_err();
            }
        }
        for version in kind.versions.min..=kind.versions.max {
            let key = &vectors[&(format!("{}Key", kind.name), 0)][0];
            for value in &vectors[&(format!("{}Value", kind.name), version)] {
                for cut in 0..value.len() {
                    GroupRecord::decode(key, Some(&value.slice(..cut))).unwrap_err();
                }
            }
        }
    }
}
