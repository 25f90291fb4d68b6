//! What all commands that talk to brokers share: which brokers, for how long, and errors in words.

use std::{future::Future, process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use felice_protocol::error::ErrorCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{FAILED, Stop, exit, tell};
use crate::{
    client::{Address, Client, ClientError, ClientSettings},
    env::SystemEnv,
};

/// Names brokers where no argument does.
const VARIABLE: &str = "FELICE_BOOTSTRAP_SERVER";

const DEFAULT: &str = "localhost:9092";

/// Which cluster is meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Brokers")]
pub(super) struct Connect {
    /// Brokers to ask first, with commas in between; else $FELICE_BOOTSTRAP_SERVER, else localhost:9092
    #[arg(short, long, value_name = "HOST:PORT", global = true)]
    bootstrap_server: Option<String>,

    /// For how many seconds to wait for brokers, and to try again
    #[arg(long, value_name = "SECONDS", default_value = "30", global = true, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
}

impl Connect {
    /// A client that connects when it is first asked something.
    pub(super) fn client(&self) -> Result<Arc<Client>, Stop> {
        let variable = std::env::var(VARIABLE).ok().filter(|named| !named.is_empty());
        let (named, by) = match (&self.bootstrap_server, &variable) {
            (Some(named), _) => (named.as_str(), "--bootstrap-server"),
            (None, Some(named)) => (named.as_str(), VARIABLE),
            (None, None) => (DEFAULT, ""),
        };
        let bootstrap = Address::list(named).map_err(|error| Stop::Cannot(format!("{by}: {error}")))?;
        let timeout = Duration::from_secs(self.timeout.into());
        let defaults = ClientSettings::default();
        let settings = ClientSettings {
            connect_timeout: timeout.min(defaults.connect_timeout),
            request_timeout: timeout,
            patience: timeout,
            ..defaults
        };
        let seconds = self.timeout;
        let client = Client::new(bootstrap, settings, Arc::new(SystemEnv));
        Ok(Arc::new(client.telling(move |error| tell(&format!("{error}; trying again, for {seconds} s in all")))))
    }

    /// Carries a command out with a client.
    pub(super) fn run(&self, command: impl AsyncFnOnce(&Client) -> Result<u8, Stop>) -> ExitCode {
        exit(self.client().and_then(|client| block_on(command(&client))))
    }
}

/// Runs a command to its end.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::Cannot(format!("cannot start: {error}")))?;
    let done = runtime.block_on(work);
    // Whoever still resolves a name is not waited for.
    runtime.shutdown_background();
    done
}

/// SIGINT and SIGTERM: whoever runs a command has enough of it.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    pub(super) fn new() -> Result<Interrupts, Stop> {
        let cannot = |error| Stop::Cannot(format!("cannot listen for signals: {error}"));
        Ok(Interrupts {
            interrupt: signal(SignalKind::interrupt()).map_err(cannot)?,
            terminate: signal(SignalKind::terminate()).map_err(cannot)?,
        })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Stop {
        Stop::Failed(in_words(&error))
    }
}

/// An error as whoever typed the command can make use of it.
fn in_words(error: &ClientError) -> String {
    match error {
        ClientError::Connect { advertised: Some(advertised), address, reason } => format!(
            "cannot connect to broker {} at {address}: {reason}; {} says that it is reached there: is its advertised.listeners \
             an address that leads to it from here?",
            advertised.node, advertised.by
        ),
        ClientError::Connect { advertised: None, .. } => {
            format!("{error}; is a broker running there? (-b HOST:PORT names another one)")
        }
        ClientError::Disconnected { .. } | ClientError::Protocol { .. } => {
            format!("{error}; is that a Kafka listener, one without TLS and SASL?")
        }
        ClientError::Refused { what, code, message } => match (of_code(*code), message.as_deref()) {
            (Some(words), _) => format!("{what} {words} ({code})"),
            (None, Some(message)) if !message.is_empty() => {
                format!("{what}: {} ({code})", message.trim_end_matches('.'))
            }
            (None, _) => error.to_string(),
        },
        _ => error.to_string(),
    }
}

/// Where one of several is refused, the others still get their turn.
pub(super) fn refused(error: ClientError) -> Result<u8, Stop> {
    match error {
        ClientError::Refused { .. } => {
            tell(&in_words(&error));
            Ok(FAILED)
        }
        error => Err(error.into()),
    }
}

/// Where a code says more than the broker's message.
fn of_code(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId | ErrorCode::GroupIdNotFound => "does not exist",
        ErrorCode::TopicAlreadyExists => "exists already",
        ErrorCode::NonEmptyGroup => "still has members: stop them first",
        ErrorCode::CoordinatorNotAvailable => "cannot be found: the brokers have no coordinator for it now",
        ErrorCode::CoordinatorLoadInProgress => "cannot be read yet: its coordinator is still loading",
        ErrorCode::TopicAuthorizationFailed
        | ErrorCode::GroupAuthorizationFailed
        | ErrorCode::ClusterAuthorizationFailed => "may not be used: not authorized",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client::Advertised, model::NodeId};

    #[test]
    fn errors_say_what_to_do() {
        let address = Address::new("broker-1.internal", 9092);
        let refused = |code: ErrorCode, message: Option<&str>| {
            in_words(&ClientError::refused(code.code(), message, "topic orders".to_owned()))
        };
        for (told, expected) in [
            (
                in_words(&ClientError::Connect {
                    address: Address::new("localhost", 9092),
                    reason: "connection refused".to_owned(),
                    advertised: None,
                }),
                "cannot connect to localhost:9092: connection refused; is a broker running there? \
                 (-b HOST:PORT names another one)",
            ),
            (
                in_words(&ClientError::Connect {
                    address,
                    reason: "no answer within 10 s".to_owned(),
                    advertised: Some(Advertised { node: NodeId(1), by: Address::new("localhost", 9092) }),
                }),
                "cannot connect to broker 1 at broker-1.internal:9092: no answer within 10 s; localhost:9092 says that it is \
                 reached there: is its advertised.listeners an address that leads to it from here?",
            ),
            (
                refused(ErrorCode::UnknownTopicOrPartition, Some("This server does not host this topic-partition.")),
                "topic orders does not exist (UNKNOWN_TOPIC_OR_PARTITION)",
            ),
            (
                refused(ErrorCode::InvalidConfig, Some("Unknown topic config name: retention.")),
                "topic orders: Unknown topic config name: retention (INVALID_CONFIG)",
            ),
            (refused(ErrorCode::InvalidPartitions, None), "topic orders: INVALID_PARTITIONS"),
        ] {
            assert_eq!(told, expected);
        }
    }
}
