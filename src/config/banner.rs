//! What a start tells.

use std::{net::SocketAddr, path::Path};

use super::{BrokerConfig, ListenerConfig, Overrides};

/// The lines that a start prints once the broker serves: who it is, where its data is, how to reach it, and what an
/// acknowledgement is worth. `bound` has, for each of `config.listeners`, the addresses that it listens on.
pub fn banner(config: &BrokerConfig, cluster_id: &str, folder: &Path, bound: &[Vec<SocketAddr>]) -> Vec<String> {
    let version = env!("CARGO_PKG_VERSION");
    let mut lines = vec![
        format!("felice {version}, node {}, cluster {cluster_id}", config.node_id),
        format!("data in {}", folder.display()),
    ];
    for (listener, addresses) in config.listeners.iter().zip(bound) {
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "{} on {}; clients are told {}",
            listener.name,
            shown.join(", "),
            told(listener, addresses)
        ));
    }
    lines.push(promise(config).to_owned());
    lines
}

/// What is dangerous about listening on these addresses, if anything.
pub fn warning(bound: &[Vec<SocketAddr>]) -> Option<&'static str> {
    let open = bound.iter().flatten().any(|address| !address.ip().to_canonical().is_loopback());
    open.then_some(
        "listening beyond this machine, and there is no authentication: whoever reaches it can read, write and delete",
    )
}

/// The address that clients of this listener are told.
fn told(listener: &ListenerConfig, addresses: &[SocketAddr]) -> String {
    let wildcard = addresses.iter().any(|address| address.ip().is_unspecified());
    let host_set = listener.advertised.as_ref().is_some_and(|advertised| advertised.host.is_some());
    let mut told: Vec<String> = Vec::new();
    for address in addresses {
        let (host, port) = listener.advertise(*address);
        let text = match (wildcard && !host_set, host.contains(':')) {
            (true, _) => format!("the address by which they reached it, port {port}"),
            (false, true) => format!("[{host}]:{port}"),
            (false, false) => format!("{host}:{port}"),
        };
        if !told.contains(&text) {
            told.push(text);
        }
    }
    told.join(" or ")
}

fn promise(config: &BrokerConfig) -> &'static str {
    let flush = config.topic(&Overrides::new()).map(|topic| topic.flush_messages);
    match flush {
        Ok(1) => "acknowledged = on disk: survives kill -9 and power loss",
        _ => "acknowledged = page cache: survives kill -9, not power loss; flush.messages=1 survives both",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Given, load};

    fn lines(listen: &[&str], set: &[&str], bound: &[&[&str]]) -> Vec<String> {
        let listen: Vec<String> = listen.iter().map(|text| (*text).to_owned()).collect();
        let set: Vec<String> = set.iter().map(|text| (*text).to_owned()).collect();
        let (config, _) = load(&Given { listen: &listen, set: &set, ..Given::default() }).unwrap();
        let bound = addresses(bound);
        let lines = banner(&config, "MkU3OEVBNTcwNTJENDM2Qg", Path::new("/var/lib/felice"), &bound);
        lines[1..].to_vec()
    }

    fn addresses(bound: &[&[&str]]) -> Vec<Vec<SocketAddr>> {
        bound.iter().map(|of| of.iter().map(|text| text.parse().unwrap()).collect()).collect()
    }

    const PAGE_CACHE: &str =
        "acknowledged = page cache: survives kill -9, not power loss; flush.messages=1 survives both";

    #[test]
    fn a_start_tells_how_to_reach_it_and_what_it_promises() {
        let bound: &[&[&str]] = &[&["127.0.0.1:9092", "[::1]:9092"]];
        let told = [
            "data in /var/lib/felice",
            "PLAINTEXT on 127.0.0.1:9092, [::1]:9092; clients are told localhost:9092",
            PAGE_CACHE,
        ];
        assert_eq!(lines(&[], &[], bound), told);

        let told = "PLAINTEXT on [::]:4711; clients are told the address by which they reached it, port 4711";
        assert_eq!(
            lines(&[":0"], &["log.flush.interval.messages=1"], &[&["[::]:4711"]])[1..],
            [told, "acknowledged = on disk: survives kill -9 and power loss"]
        );

        let set = ["advertised.listeners=PLAINTEXT://kafka.example:19092"];
        let told = "PLAINTEXT on [::]:9092; clients are told kafka.example:19092";
        assert_eq!(lines(&[":9092"], &set, &[&["[::]:9092"]])[1], told);
    }

    #[test]
    fn whoever_listens_beyond_the_machine_is_warned() {
        assert_eq!(warning(&addresses(&[&["127.0.0.1:9092", "[::1]:9092"]])), None);
        assert!(warning(&addresses(&[&["127.0.0.1:9092"], &["0.0.0.0:9093"]])).is_some());
        assert!(warning(&addresses(&[&["192.168.1.7:9092"]])).is_some());
    }
}
