//! Brokers as the metadata knows them.

use super::record::{BrokerEndpoint, RegisterBrokerRecord};
use crate::model::{NodeId, Uuid};

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub id: NodeId,
    /// A new one at every start of the process.
    pub incarnation_id: Uuid,
    /// Which registration this is; a later one's is higher.
    pub epoch: i64,
    pub listeners: Vec<Listener>,
    pub rack: Option<String>,
    /// A fenced broker leads nothing and is not shown to clients.
    pub fenced: bool,
    pub directories: Vec<Uuid>,
}

/// Where a broker may be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub host: String,
    pub port: u16,
    /// Kafka's number: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

impl Broker {
    pub(super) fn of(record: &RegisterBrokerRecord) -> Broker {
        Broker {
            id: NodeId(record.broker_id),
            incarnation_id: record.incarnation_id,
            epoch: record.broker_epoch,
            listeners: record
                .end_points
                .iter()
                .map(|end| Listener {
                    name: end.name.clone(),
                    host: end.host.clone(),
                    port: end.port,
                    security_protocol: end.security_protocol,
                })
                .collect(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            directories: record.log_dirs.clone(),
        }
    }

    pub(super) fn record(&self) -> RegisterBrokerRecord {
        RegisterBrokerRecord {
            broker_id: self.id.0,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch,
            end_points: self
                .listeners
                .iter()
                .map(|listener| BrokerEndpoint {
                    name: listener.name.clone(),
                    host: listener.host.clone(),
                    port: listener.port,
                    security_protocol: listener.security_protocol,
                    ..BrokerEndpoint::default()
                })
                .collect(),
            rack: self.rack.clone(),
            fenced: self.fenced,
            log_dirs: self.directories.clone(),
            ..RegisterBrokerRecord::default()
        }
    }
}
