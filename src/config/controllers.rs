//! What Kafka's settings for controllers mean here: a node is its own controller, and there are no others yet.
//!
//! A properties file of a single Kafka node in combined mode names a listener for controllers and how controllers find each
//! other. The listener is not opened: nobody has anything to ask there. Settings that name *other* controllers are refused, since
//! this node would not join them but begin a cluster of its own.

use super::{
    ConfigError, ListenerConfig, Problem, Settings,
    listeners::{Host, split_host_port},
    setting::Value,
};
use crate::model::NodeId;

const VOTERS: &str = "controller.quorum.voters";
const SERVERS: &str = "controller.quorum.bootstrap.servers";

/// The names of the listeners for controllers, in capitals.
pub(super) fn listener_names(settings: &Settings) -> Vec<String> {
    list(settings, "controller.listener.names").iter().map(|name| name.to_uppercase()).collect()
}

/// Whether the controllers that the settings name are this node alone.
///
/// # Errors
/// The setting that says otherwise, or cannot be read.
pub(super) fn check(settings: &Settings, own: &[ListenerConfig], node_id: NodeId) -> Result<(), Problem> {
    let blame = |name: &str, error: ConfigError| Err(Problem { origin: settings.origin(name), error });
    check_voters(&list(settings, VOTERS), node_id).or_else(|error| blame(VOTERS, error))?;
    check_servers(&list(settings, SERVERS), own).or_else(|error| blame(SERVERS, error))
}

/// What a start says of the listeners that it does not open; one line each.
pub(super) fn notes(settings: &Settings, own: &[ListenerConfig]) -> Vec<String> {
    let not_opened = own.iter().flat_map(|listener| {
        listener.bind.iter().map(|bind| {
            format!(
                "{} ({bind}) is not opened: this node is its own controller, and there are no others yet",
                listener.name
            )
        })
    });
    let assumed = list(settings, SERVERS).into_iter().filter(|server| !is_surely_own(server, own));
    not_opened.chain(assumed.map(|server| format!("{SERVERS}={server} is taken to be this node itself"))).collect()
}

fn check_voters(voters: &[String], node_id: NodeId) -> Result<(), ConfigError> {
    let [voter] = voters else { return no_more_than_one(VOTERS, voters) };
    let id = voter.split_once('@').and_then(|(id, _)| id.trim().parse().ok());
    match id {
        Some(id) if NodeId(id) == node_id => Ok(()),
        Some(id) => {
            let rule = format!("{VOTERS} names node {id}, and this is node {node_id} (node.id); {ALONE}");
            Err(ConfigError::Rule(rule))
        }
        None => {
            let reason = "expected id@host:port".to_owned();
            Err(ConfigError::Invalid { name: VOTERS, value: voter.clone(), reason })
        }
    }
}

fn check_servers(servers: &[String], own: &[ListenerConfig]) -> Result<(), ConfigError> {
    let [server] = servers else { return no_more_than_one(SERVERS, servers) };
    let invalid = |reason| ConfigError::Invalid { name: SERVERS, value: server.clone(), reason };
    split_host_port(server).map_err(invalid)?;
    if is_surely_own(server, own) || may_be_own(server, own) {
        return Ok(());
    }
    Err(ConfigError::Rule(format!("{SERVERS}={server} is no controller listener of this node; {ALONE}")))
}

const ALONE: &str = "clusters of several nodes are not supported yet";

fn no_more_than_one(name: &str, given: &[String]) -> Result<(), ConfigError> {
    match given.len() {
        0 => Ok(()),
        many => Err(ConfigError::Rule(format!("{name} names {many} controllers; {ALONE}"))),
    }
}

/// Whether this is the address of a listener of this node, by what its settings say.
fn is_surely_own(server: &str, own: &[ListenerConfig]) -> bool {
    let Ok((host, port)) = split_host_port(server) else { return false };
    let is_local =
        host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    own.iter().any(|listener| {
        let is_advertised = |at: &super::Advertised| at.host.as_ref() == Some(&host) && at.port == port;
        let is_bound = |bind: &super::Bind| {
            let is_host = match &bind.host {
                Host::Name(name) => name.eq_ignore_ascii_case(&host),
                Host::Ip(ip) => host.parse() == Ok(*ip),
                Host::All | Host::Localhost => false,
            };
            bind.port == port && (is_host || is_local)
        };
        listener.advertised.as_ref().is_some_and(is_advertised) || listener.bind.iter().any(is_bound)
    })
}

/// Whether a listener on all addresses may be reached at this one.
fn may_be_own(server: &str, own: &[ListenerConfig]) -> bool {
    let Ok((_, port)) = split_host_port(server) else { return false };
    own.iter().flat_map(|listener| &listener.bind).any(|bind| bind.port == port && bind.host.is_wildcard())
}

fn list(settings: &Settings, name: &str) -> Vec<String> {
    match settings.effective(name) {
        Some(Value::List(entries)) => entries,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Given, load};

    /// What a start with these settings says, or why there is none.
    fn told(pairs: &[&str]) -> Result<Vec<String>, Vec<String>> {
        let mut set = vec![
            "listeners=PLAINTEXT://:9092,CONTROLLER://:9093".to_owned(),
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned(),
            "controller.listener.names=controller".to_owned(),
        ];
        set.extend(pairs.iter().map(|pair| (*pair).to_owned()));
        load(&Given { set: &set, ..Given::default() })
            .map(|(config, warnings)| {
                let names: Vec<&str> = config.listeners.iter().map(|listener| listener.name.as_str()).collect();
                assert_eq!(names, ["PLAINTEXT"]);
                warnings
            })
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    const NOT_OPENED: &str =
        "CONTROLLER (:9093) is not opened: this node is its own controller, and there are no others yet";

    #[test]
    fn a_node_that_is_its_own_controller_is_what_we_have() {
        for pairs in [
            &[][..],
            &["controller.quorum.voters=1@wherever:9093"],
            &["controller.quorum.bootstrap.servers=localhost:9093"],
            &["controller.quorum.bootstrap.servers=[::1]:9093"],
            &[
                "advertised.listeners=PLAINTEXT://kafka:9092,CONTROLLER://kafka:19093",
                "controller.quorum.bootstrap.servers=kafka:19093",
            ],
        ] {
            assert_eq!(told(pairs), Ok(vec![NOT_OPENED.to_owned()]), "{pairs:?}");
        }
        let assumed = "controller.quorum.bootstrap.servers=kafka:9093 is taken to be this node itself";
        let warnings = told(&["controller.quorum.bootstrap.servers=kafka:9093"]);
        assert_eq!(warnings, Ok(vec![NOT_OPENED.to_owned(), assumed.to_owned()]));
    }

    #[test]
    fn other_controllers_are_refused() {
        for (pair, why) in [
            (
                "controller.quorum.voters=1@a:9093,2@b:9093,3@c:9093",
                "controller.quorum.voters names 3 controllers; clusters of several nodes are not supported yet",
            ),
            (
                "controller.quorum.voters=2@localhost:9093",
                "controller.quorum.voters names node 2, and this is node 1 (node.id); clusters of several nodes are not \
                 supported yet",
            ),
            (
                "controller.quorum.voters=localhost:9093",
                "Invalid value localhost:9093 for configuration controller.quorum.voters: expected id@host:port",
            ),
            (
                "controller.quorum.bootstrap.servers=localhost:9094",
                "controller.quorum.bootstrap.servers=localhost:9094 is no controller listener of this node; clusters of several \
                 nodes are not supported yet",
            ),
            (
                "controller.quorum.bootstrap.servers=a:9093,b:9093",
                "controller.quorum.bootstrap.servers names 2 controllers; clusters of several nodes are not supported yet",
            ),
            (
                "inter.broker.listener.name=CONTROLLER",
                "inter.broker.listener.name: CONTROLLER is none of the listeners",
            ),
        ] {
            assert_eq!(told(&[pair]), Err(vec![format!("--set: {why}")]), "{pair}");
        }
    }
}
