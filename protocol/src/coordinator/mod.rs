//! The records that Kafka's coordinators keep in internal topics: their keys, their values, and which belongs to which.
//!
//! | topic | records |
//! |---|---|
//! | `__consumer_offsets` | [`GroupRecord`] |
//! | `__transaction_state` | [`TransactionRecord`] |
//! | `__share_group_state` | [`ShareStateRecord`] |
//!
//! A key is its type in two bytes and then the key itself, in version 0; a value is its version in two bytes and then the
//! value (Kafka's `CoordinatorRecordSerde`). No value, a tombstone, says that what the key names is gone.

pub mod consumer_group;
mod group;
pub mod offsets;
pub mod share_group;
pub mod share_state;
pub mod streams_group;
pub mod transaction;

use bytes::Bytes;

pub use self::group::GroupRecord;
use self::{share_state::*, transaction::*};
use crate::{
    schema::{Stored, Versions},
    wire::{Malformed, Reason, Unencodable, Writer},
};

/// Why bytes are no record of a coordinator.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// A later Kafka has written it. Kafka passes such records over when it loads a coordinator.
    #[error("unknown type {0} of record")]
    UnknownType(i16),
    /// Not the key or value that its type and version promise.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A type of record, as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordType {
    /// Its number, in front of the key.
    pub id: i16,
    /// Kafka's name for it, such as `OffsetCommit`.
    pub name: &'static str,
    /// The versions of its value.
    pub versions: Versions,
}

/// Splits a key into its type and what follows.
fn split_key(key: &Bytes) -> Result<(i16, Bytes), Malformed> {
    match key.first_chunk() {
        Some(id) => Ok((i16::from_be_bytes(*id), key.slice(id.len()..))),
        None => Err(Malformed::new(Reason::Truncated).within("type").within("key")),
    }
}

fn encode_key<K: Stored>(key: &K) -> Result<Bytes, Unencodable> {
    let mut w = Writer::new();
    w.put_slice(&K::KEY.to_be_bytes());
    key.encode(&mut w, 0)?;
    Ok(w.into_bytes())
}

/// Declares the records of a topic: `1 OffsetCommit(OffsetCommitKey, OffsetCommitValue) 0-4, flexible 4+;`
macro_rules! records {
    ($(#[$meta:meta])* $records:ident {$(
        $id:literal $name:ident($key:ident, $value:ident) $min:literal - $max:literal $(, flexible $flexible:literal +)?;
    )*}) => {
        $crate::stored! {$(
            $id $key 0-0;
            $id $value $min - $max $(, flexible $flexible +)?;
        )*}

        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $records {
            $(
                #[doc = concat!("Type ", stringify!($id), ".")]
                $name($key, Option<$value>),
            )*
        }

        impl $records {
            /// All types, by number.
            pub const TYPES: &'static [RecordType] = &[$(
                RecordType { id: $id, name: stringify!($name), versions: Versions::new($min, $max) },
            )*];

            /// Decodes a record.
            pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Self, RecordError> {
                let (id, key) = split_key(key)?;
                match id {
                    $($id => {
                        let value = value.map(<$value>::decode_with_version).transpose()?;
                        Ok(Self::$name(<$key>::decode(&key, 0)?, value))
                    })*
                    _ => Err(RecordError::UnknownType(id)),
                }
            }

            /// Encodes the key.
            pub fn encode_key(&self) -> Result<Bytes, Unencodable> {
                match self {
                    $(Self::$name(key, _) => encode_key(key),)*
                }
            }

            /// Encodes the value in a version of [`RecordType::versions`]; none is a tombstone.
            pub fn encode_value(&self, version: i16) -> Result<Option<Bytes>, Unencodable> {
                match self {
                    $(Self::$name(_, value) => {
                        value.as_ref().map(|value| value.encode_with_version(version)).transpose()
                    })*
                }
            }

            /// What type of record it is.
            pub fn record_type(&self) -> RecordType {
                match self {
                    $(Self::$name(..) => RecordType {
                        id: $id,
                        name: stringify!($name),
                        versions: Versions::new($min, $max),
                    },)*
                }
            }
        }
    };
}
use records;

records! {
    /// A record of `__transaction_state`.
    TransactionRecord {
        0 TransactionLog(TransactionLogKey, TransactionLogValue) 0-1, flexible 1+;
    }
}

records! {
    /// A record of `__share_group_state`.
    ShareStateRecord {
        0 ShareSnapshot(ShareSnapshotKey, ShareSnapshotValue) 0-0, flexible 0+;
        1 ShareUpdate(ShareUpdateKey, ShareUpdateValue) 0-0, flexible 0+;
    }
}

#[cfg(test)]
mod tests {
    use super::{offsets::*, *};

    fn record() -> GroupRecord {
        let key = OffsetCommitKey { group: "g".to_owned(), topic: "t".to_owned(), partition: 7, ..Default::default() };
        GroupRecord::OffsetCommit(key, Some(OffsetCommitValue { offset: 5, ..OffsetCommitValue::default() }))
    }

    #[test]
    fn a_key_has_its_type_in_front_and_a_value_its_version() {
        let record = record();
        let key = record.encode_key().unwrap();
        assert_eq!(key[..], *b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x07");
        let value = record.encode_value(3).unwrap().unwrap();
        assert_eq!(value[..2], [0, 3]);
        assert_eq!(GroupRecord::decode(&key, Some(&value)), Ok(record.clone()));
        assert_eq!((record.record_type().id, record.record_type().name), (1, "OffsetCommit"));
    }

    #[test]
    fn a_tombstone_has_a_key_only() {
        let key = record().encode_key().unwrap();
        let gone = GroupRecord::decode(&key, None).unwrap();
        assert_eq!(gone.encode_key().unwrap(), key);
        assert_eq!(gone.encode_value(3), Ok(None));
    }

    #[test]
    fn what_is_not_known_is_told_from_what_is_broken() {
        let decode = |key: &'static [u8], value: &'static [u8]| {
            GroupRecord::decode(&Bytes::from_static(key), Some(&Bytes::from_static(value))).unwrap_err().to_string()
        };
        let key = b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x07";
        assert_eq!(GroupRecord::decode(&Bytes::from_static(b"\x00\x63"), None), Err(RecordError::UnknownType(99)));
        assert_eq!(decode(b"\x00", b""), "key.type: the frame ends within it");
        assert_eq!(decode(b"\x00\x01\x00\x05g", b"\x00\x00"), "OffsetCommitValue.offset: the frame ends within it");
        assert_eq!(decode(key, b"\x00"), "OffsetCommitValue.version: the frame ends within it");
        assert_eq!(decode(key, b"\x00\x09"), "OffsetCommitValue: version 9 is not known");
    }
}
