//! What can go wrong between this process and brokers.

use std::time::Duration;

use felice_protocol::{
    api::ApiKey,
    error::ErrorCode,
    record::{BatchError, BuildError},
    schema::Versions,
    wire::{Malformed, Unencodable},
};

use super::Address;
use crate::model::{NodeId, TopicPartition};

/// Why a call came to nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers at that address. `advertised` is who named it, where it was not the user.
    #[error("cannot connect to {address}: {reason}")]
    Connect { address: Address, reason: String, advertised: Option<Advertised> },
    /// The connection ended before the answer came.
    #[error("{address} closed the connection: {reason}")]
    Disconnected { address: Address, reason: String },
    #[error("{address} did not answer {api} within {} s", after.as_secs_f64())]
    TimedOut { address: Address, api: ApiKey, after: Duration },
    /// The broker and we have no version of the API in common; `served` is `None` where it has none at all.
    #[error("{address} {}; {needed_for} needs version {} to {}",
        served.map_or_else(|| format!("does not serve {api}"), |v| format!("serves {api} in versions {} to {}", v.min, v.max)),
        needed.min, needed.max)]
    Unsupported { address: Address, api: ApiKey, served: Option<Versions>, needed: Versions, needed_for: &'static str },
    /// The other end speaks, but not Kafka's protocol, or not as it should.
    #[error("{address} does not answer as a Kafka broker does: {reason}")]
    Protocol { address: Address, reason: String },
    #[error("cannot be sent: {0}")]
    Unencodable(#[from] Unencodable),
    /// An answer with an error code. `what` is what it is about, such as `topic orders`.
    #[error("{what}: {}", told(*code, message.as_deref()))]
    Refused { what: String, code: ErrorCode, message: Option<String> },
    #[error("{0} has no leader now")]
    NoLeader(TopicPartition),
    #[error("there is no broker {0} now")]
    NoBroker(NodeId),
    #[error("{partition} at offset {offset}: {error}")]
    Batch { partition: TopicPartition, offset: i64, error: BatchError },
    #[error("cannot make a batch: {0}")]
    Build(#[from] BuildError),
}

/// Where an address comes from that the user did not name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// The broker that is said to be there.
    pub node: NodeId,
    /// Who said so.
    pub by: Address,
}

impl ClientError {
    /// An answer's error code, where it is one. A code that we do not know is an unknown error.
    pub fn check(code: i16, message: Option<&str>, what: impl FnOnce() -> String) -> Result<(), ClientError> {
        if code == 0 { Ok(()) } else { Err(ClientError::refused(code, message, what())) }
    }

    pub fn refused(code: i16, message: Option<&str>, what: String) -> ClientError {
        let known = ErrorCode::from_code(code);
        let message = match known {
            Some(_) => message.map(str::to_owned),
            None => Some(format!("error code {code}")),
        };
        ClientError::Refused { what, code: known.unwrap_or(ErrorCode::UnknownServerError), message }
    }

    /// The error code where a broker answered one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the same call may succeed when it is made again, after asking anew who leads.
    pub fn is_retriable(&self) -> bool {
        match self {
            ClientError::Connect { .. }
            | ClientError::Disconnected { .. }
            | ClientError::TimedOut { .. }
            | ClientError::NoLeader(_)
            | ClientError::NoBroker(_) => true,
            ClientError::Refused { code, .. } => code.is_retriable(),
            ClientError::Unsupported { .. }
            | ClientError::Protocol { .. }
            | ClientError::Unencodable(_)
            | ClientError::Batch { .. }
            | ClientError::Build(_) => false,
        }
    }

    pub(super) fn malformed(address: &Address, malformed: &Malformed) -> ClientError {
        ClientError::Protocol { address: address.clone(), reason: malformed.to_string() }
    }
}

fn told(code: ErrorCode, message: Option<&str>) -> String {
    match message {
        Some(message) if !message.is_empty() => format!("{code}: {message}"),
        _ => code.to_string(),
    }
}
