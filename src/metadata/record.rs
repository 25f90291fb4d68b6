//! The records of the metadata log: what they hold, and their form in the log and in snapshots.
//!
//! Where Kafka's controller has a record of the same meaning, ours has its name, key and fields. A record is stored with
//! its key and version; a reader that knows either not refuses the log, since skipping it would leave the cluster with
//! less than was acknowledged. Versions are all flexible, so optional fields join as tagged ones.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use felice_protocol::{
    Uuid, schema,
    schema::Stored,
    stored,
    wire::{Malformed, Unencodable, Writer},
};

/// [`ConfigRecord::resource_type`] of a topic; the number is Kafka's.
pub const TOPIC_RESOURCE: i8 = 2;
/// [`ConfigRecord::resource_type`] of a group, which need not exist; the number is Kafka's.
pub const GROUP_RESOURCE: i8 = 32;

/// [`PartitionChangeRecord::leader`] where leader and leader epoch stay as they are.
pub const LEADER_UNCHANGED: i32 = -2;

schema! {
    /// A broker has registered, or changed what it said when it did. The whole registration.
    RegisterBrokerRecord {
        broker_id: i32,
        incarnation_id: Uuid,
        broker_epoch: i64,
        end_points: Vec<BrokerEndpoint>,
        rack: Option<String>,
        fenced: bool,
        /// The ids of its log directories.
        log_dirs: Vec<Uuid>,
    }

    BrokerEndpoint {
        name: String,
        host: String,
        port: u16,
        /// Kafka's number: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
        security_protocol: i16,
    }

    /// A new topic, still without partitions.
    TopicRecord {
        name: String,
        topic_id: Uuid,
    }

    /// A new partition. A topic's partitions are recorded in the order of their numbers.
    PartitionRecord {
        partition_id: i32,
        topic_id: Uuid,
        replicas: Vec<i32>,
        isr: Vec<i32>,
        /// -1 for none.
        leader: i32,
        leader_epoch: i32,
        partition_epoch: i32,
        /// The log directory of each replica.
        directories: Vec<Uuid>,
        eligible_leader_replicas: Vec<i32> [0+, tag 0],
    }

    /// A setting has a new value; null means that it has the default again.
    ConfigRecord {
        resource_type: i8,
        resource_name: String,
        name: String,
        value: Option<String>,
    }

    /// What changed of a partition; absent fields stay as they are. It always raises the partition epoch.
    PartitionChangeRecord {
        partition_id: i32,
        topic_id: Uuid,
        isr: Option<Vec<i32>> [0+, tag 0],
        /// Naming a leader raises the leader epoch, also where it led already.
        leader: i32 [0+, tag 1] = LEADER_UNCHANGED,
        replicas: Option<Vec<i32>> [0+, tag 2],
        eligible_leader_replicas: Option<Vec<i32>> [0+, tag 6],
        directories: Option<Vec<Uuid>> [0+, tag 8],
    }

    /// A topic is gone, with its partitions and settings.
    RemoveTopicRecord {
        topic_id: Uuid,
    }

    /// A feature is finalized at a level; 0 turns it off.
    FeatureLevelRecord {
        name: String,
        feature_level: i16,
    }

    /// Producer ids below `next_producer_id` have been given out, the last of them to this broker.
    ProducerIdsRecord {
        broker_id: i32,
        broker_epoch: i64,
        next_producer_id: i64,
    }

    /// Which cluster this is: the first record of its log. (Kafka keeps this in `meta.properties` alone.)
    ClusterRecord {
        cluster_id: String,
    }
}

stored! {
    0 RegisterBrokerRecord 0-0, flexible 0+;
    2 TopicRecord 0-0, flexible 0+;
    3 PartitionRecord 0-0, flexible 0+;
    4 ConfigRecord 0-0, flexible 0+;
    5 PartitionChangeRecord 0-0, flexible 0+;
    9 RemoveTopicRecord 0-0, flexible 0+;
    12 FeatureLevelRecord 0-0, flexible 0+;
    15 ProducerIdsRecord 0-0, flexible 0+;
    10000 ClusterRecord 0-0, flexible 0+;
}

/// The bytes are not a record that this version of Felice knows, or a record has no form as bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("metadata record {key} (version {version}) is not known; a newer version of Felice wrote it")]
    UnknownKey { key: i16, version: i16 },
    #[error("version {version} of {name} is not known; a newer version of Felice wrote it")]
    UnknownVersion { name: &'static str, version: i16 },
    #[error("the metadata records end within one")]
    Truncated,
    #[error("{0} bytes follow the last metadata record")]
    Trailing(usize),
    #[error("metadata record {0}")]
    Malformed(#[from] Malformed),
    #[error("metadata record {0}")]
    Unencodable(#[from] Unencodable),
}

macro_rules! records {
    ($($variant:ident($body:ident),)*) => {
        /// One step of the cluster's metadata.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Record {
            $($variant($body),)*
        }

        $(impl From<$body> for Record {
            fn from(body: $body) -> Record {
                Record::$variant(body)
            }
        })*

        impl Record {
            /// Its kind's name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Record::$variant(_) => <$body as Stored>::NAME,)*
                }
            }

            /// Key and version, 16 bits each, and the body.
            ///
            /// # Errors
            /// [`RecordError::Unencodable`] where a string is longer than the wire allows.
            pub fn encode(&self) -> Result<Bytes, RecordError> {
                let mut writer = Writer::new();
                match self {
                    $(Record::$variant(body) => write(body, &mut writer)?,)*
                }
                Ok(writer.into_bytes())
            }

            /// What [`Record::encode`] wrote.
            pub fn decode(bytes: &Bytes) -> Result<Record, RecordError> {
                let mut body = bytes.clone();
                let (Ok(key), Ok(version)) = (body.try_get_i16(), body.try_get_i16()) else {
                    return Err(RecordError::Truncated);
                };
                match key {
                    $(<$body as Stored>::KEY => Ok(Record::$variant(read(&body, version)?)),)*
                    _ => Err(RecordError::UnknownKey { key, version }),
                }
            }
        }
    };
}

records! {
    RegisterBroker(RegisterBrokerRecord),
    Topic(TopicRecord),
    Partition(PartitionRecord),
    Config(ConfigRecord),
    PartitionChange(PartitionChangeRecord),
    RemoveTopic(RemoveTopicRecord),
    FeatureLevel(FeatureLevelRecord),
    ProducerIds(ProducerIdsRecord),
    Cluster(ClusterRecord),
}

fn write<T: Stored>(body: &T, writer: &mut Writer) -> Result<(), RecordError> {
    let version = T::VERSIONS.max;
    writer.put_slice(&T::KEY.to_be_bytes());
    writer.put_slice(&version.to_be_bytes());
    Ok(body.encode(writer, version)?)
}

fn read<T: Stored>(body: &Bytes, version: i16) -> Result<T, RecordError> {
    if !T::VERSIONS.contains(version) {
        return Err(RecordError::UnknownVersion { name: T::NAME, version });
    }
    Ok(T::decode(body, version)?)
}

/// Records as one value: their number, then each with its size in front; numbers of 32 bits.
///
/// # Errors
/// As [`Record::encode`].
pub fn encode_batch(records: &[Record]) -> Result<Bytes, RecordError> {
    let mut bytes = BytesMut::with_capacity(4 + 64 * records.len());
    bytes.put_u32(records.len() as u32);
    for record in records {
        let record = record.encode()?;
        bytes.put_u32(record.len() as u32);
        bytes.put_slice(&record);
    }
    Ok(bytes.freeze())
}

/// What [`encode_batch`] wrote.
pub fn decode_batch(bytes: &Bytes) -> Result<Vec<Record>, RecordError> {
    let mut rest = bytes.clone();
    let count = rest.try_get_u32().map_err(|_| RecordError::Truncated)? as usize;
    // Each record takes at least 8 bytes, so a wrong count cannot make us allocate much more than we were given.
    let mut records = Vec::with_capacity(count.min(rest.len() / 8));
    for _ in 0..count {
        let size = rest.try_get_u32().map_err(|_| RecordError::Truncated)? as usize;
        if size > rest.len() {
            return Err(RecordError::Truncated);
        }
        records.push(Record::decode(&rest.split_to(size))?);
    }
    if rest.is_empty() { Ok(records) } else { Err(RecordError::Trailing(rest.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> Vec<Record> {
        let id = Uuid([7; 16]);
        vec![
            ClusterRecord { cluster_id: "oQ5i8hVSTcWoGKYvIZk7YA".to_owned(), ..ClusterRecord::default() }.into(),
            FeatureLevelRecord {
                name: "metadata.version".to_owned(),
                feature_level: 1,
                ..FeatureLevelRecord::default()
            }
            .into(),
            RegisterBrokerRecord {
                broker_id: 1,
                incarnation_id: Uuid([1; 16]),
                broker_epoch: 5,
                end_points: vec![BrokerEndpoint {
                    name: "PLAINTEXT".to_owned(),
                    host: "::1".to_owned(),
                    port: 65535,
                    security_protocol: 0,
                    ..BrokerEndpoint::default()
                }],
                rack: Some("r".to_owned()),
                fenced: true,
                log_dirs: vec![Uuid([2; 16])],
                ..RegisterBrokerRecord::default()
            }
            .into(),
            ProducerIdsRecord { broker_id: 1, broker_epoch: 5, next_producer_id: 1000, ..ProducerIdsRecord::default() }
                .into(),
            TopicRecord { name: "t".to_owned(), topic_id: id, ..TopicRecord::default() }.into(),
            ConfigRecord {
                resource_type: TOPIC_RESOURCE,
                resource_name: "t".to_owned(),
                name: "retention.ms".to_owned(),
                value: None,
                ..ConfigRecord::default()
            }
            .into(),
            PartitionRecord {
                partition_id: 0,
                topic_id: id,
                replicas: vec![1, 2, 3],
                isr: vec![1],
                leader: 1,
                leader_epoch: 3,
                partition_epoch: 4,
                directories: vec![Uuid::ZERO; 3],
                eligible_leader_replicas: vec![2],
                ..PartitionRecord::default()
            }
            .into(),
            PartitionChangeRecord {
                partition_id: 0,
                topic_id: id,
                isr: Some(vec![]),
                leader: -1,
                eligible_leader_replicas: Some(vec![3]),
                ..PartitionChangeRecord::default()
            }
            .into(),
            RemoveTopicRecord { topic_id: id, ..RemoveTopicRecord::default() }.into(),
        ]
    }

    #[test]
    fn records_come_back() {
        let records = one_of_each();
        for record in &records {
            assert_eq!(Record::decode(&record.encode().unwrap()), Ok(record.clone()), "{}", record.name());
        }
        assert_eq!(decode_batch(&encode_batch(&records).unwrap()), Ok(records));
        assert_eq!(decode_batch(&encode_batch(&[]).unwrap()), Ok(vec![]));
    }

    /// What is on a disk must stay readable: this form may gain tagged fields and versions, and never change.
    #[test]
    fn the_stored_form_is_fixed() {
        let hex = |record: Record| {
            record.encode().unwrap().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join("")
        };
        let id = Uuid([0xaa; 16]);
        let id_hex = "aa".repeat(16);
        assert_eq!(
            hex(TopicRecord { name: "ab".to_owned(), topic_id: id, ..TopicRecord::default() }.into()),
            format!("0002 0000 036162 {id_hex} 00").replace(' ', "")
        );
        assert_eq!(
            hex(PartitionChangeRecord {
                partition_id: 1,
                topic_id: id,
                isr: Some(vec![2]),
                leader: 2,
                ..PartitionChangeRecord::default()
            }
            .into()),
            format!("0005 0000 00000001 {id_hex} 02 00 05 02 00000002 01 04 00000002").replace(' ', "")
        );
        assert_eq!(
            hex(ClusterRecord { cluster_id: "c".to_owned(), ..ClusterRecord::default() }.into()),
            "2710000002630".to_owned() + "0"
        );
    }

    #[test]
    fn a_batch_cut_anywhere_is_refused() {
        let batch = encode_batch(&one_of_each()).unwrap();
        for len in 0..batch.len() {
            assert!(decode_batch(&batch.slice(..len)).is_err(), "{len} of {} bytes", batch.len());
        }
        let mut longer = BytesMut::from(&*batch);
        longer.put_slice(&[0, 0]);
        assert_eq!(decode_batch(&longer.freeze()), Err(RecordError::Trailing(2)));
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (key, version, error, text) in [
            (
                77,
                0,
                RecordError::UnknownKey { key: 77, version: 0 },
                "metadata record 77 (version 0) is not known; a newer version of Felice wrote it",
            ),
            (
                2,
                9,
                RecordError::UnknownVersion { name: "TopicRecord", version: 9 },
                "version 9 of TopicRecord is not known; a newer version of Felice wrote it",
            ),
        ] {
            let mut bytes = BytesMut::new();
            bytes.put_i16(key);
            bytes.put_i16(version);
            bytes.put_slice(&[0; 64]);
            let decoded = Record::decode(&bytes.freeze()).unwrap_err();
            assert_eq!(decoded, error);
            assert_eq!(decoded.to_string(), text);
        }
    }
}
