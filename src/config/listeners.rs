//! Listeners: where the broker listens, and what address its clients are told.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{ConfigError, Problem, Settings, controllers, setting::Value};

/// A listener's name where nothing else is said; also its security protocol.
pub const PLAINTEXT: &str = "PLAINTEXT";

/// One named way into the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// In capitals, as Kafka has it; no two listeners share one.
    pub name: String,
    /// What it listens on; at least one. Several only where `--listen` was given several times.
    pub bind: Vec<Bind>,
    /// What `advertised.listeners` says of it.
    pub advertised: Option<Advertised>,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    pub host: Host,
    /// 0 takes a free port.
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// Every address of the machine, IPv6 and IPv4.
    All,
    /// `127.0.0.1` and `::1`, whichever of them the machine has; at one port.
    Localhost,
    Ip(IpAddr),
    /// To be looked up.
    Name(String),
}

/// The address that clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// `None` where only a port was set: then the address by which the client reached the broker.
    pub host: Option<String>,
    /// 0 stands for the port that is listened on.
    pub port: u16,
}

impl ListenerConfig {
    /// The host and port that a client is told whose connection came in at `local`.
    ///
    /// What `advertised.listeners` sets holds. Without it the listener's own address does, where it has one; and where
    /// it listens on all addresses, the one by which this client reached the broker, since that one is known to work.
    pub fn advertise(&self, local: SocketAddr) -> (String, u16) {
        let set = self.advertised.as_ref();
        let host = set.and_then(|set| set.host.clone()).unwrap_or_else(|| self.reached_by(local.ip()));
        let port = set.map(|set| set.port).filter(|port| *port != 0).unwrap_or(local.port());
        (host, port)
    }

    fn reached_by(&self, local: IpAddr) -> String {
        // A dual-stack socket shows IPv4 clients as IPv6.
        let local = local.to_canonical();
        let hosts = || self.bind.iter().map(|bind| &bind.host);
        if hosts().any(|host| *host == Host::Ip(local)) {
            return local.to_string();
        }
        if !hosts().any(Host::is_wildcard)
            && let Some(name) = hosts().find_map(|host| match host {
                Host::Name(name) => Some(name),
                _ => None,
            })
        {
            return name.clone();
        }
        if local.is_loopback() { "localhost".to_owned() } else { local.to_string() }
    }
}

impl Bind {
    /// The addresses to listen on; empty for a name, which is to be looked up. [`Host::All`] is the IPv6 wildcard, to
    /// be opened for both families, or where the machine has no IPv6 the IPv4 one.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let ips: &[IpAddr] = match &self.host {
            Host::All => &[IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
            Host::Localhost => &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
            Host::Ip(ip) => std::slice::from_ref(ip),
            Host::Name(_) => &[],
        };
        ips.iter().map(|ip| SocketAddr::new(*ip, self.port)).collect()
    }

    /// `host:port`, where the host may be missing, a name, an IPv4 address or an IPv6 address, best in brackets.
    fn parse(text: &str) -> Result<Bind, String> {
        let (host, port) = split_host_port(text)?;
        let host = match host.as_str() {
            "" | "::" => Host::All,
            name if name.eq_ignore_ascii_case("localhost") => Host::Localhost,
            other => match other.parse() {
                Ok(ip) => Host::Ip(ip),
                Err(_) => Host::Name(check_host_name(other)?.to_owned()),
            },
        };
        Ok(Bind { host, port })
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::All => write!(f, ":{}", self.port),
            Host::Localhost => write!(f, "localhost:{}", self.port),
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl Host {
    pub(super) fn is_wildcard(&self) -> bool {
        match self {
            Host::All => true,
            Host::Ip(ip) => ip.is_unspecified(),
            Host::Localhost | Host::Name(_) => false,
        }
    }

    fn is_ipv4(&self) -> bool {
        matches!(self, Host::Ip(IpAddr::V4(_)))
    }

    fn is_ipv6(&self) -> bool {
        matches!(self, Host::Ip(IpAddr::V6(_)))
    }
}

#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// At least one, the one for other brokers first.
    pub brokers: Vec<ListenerConfig>,
    /// Those that `controller.listener.names` names.
    pub controllers: Vec<ListenerConfig>,
}

/// The listeners that the settings and `--listen` make.
pub(super) fn listeners(settings: &Settings, listen: &[String]) -> Result<Listeners, Problem> {
    let blame = |name: &'static str| {
        let origin = settings.origin(name);
        move |error: ConfigError| Problem { origin: origin.clone(), error }
    };
    let protocols = Protocols::new(settings).map_err(blame("listener.security.protocol.map"))?;
    let set = from_setting(settings, &protocols);
    let mut listeners = if listen.is_empty() {
        set.map_err(blame("listeners"))?
    } else {
        // What is not obeyed need not be right.
        let mut listeners = set.unwrap_or_default();
        listeners.retain(|listener| protocols.controllers.contains(&listener.name));
        let flag = |error| Problem { origin: Some(super::Origin::Flag("--listen")), error };
        listeners.insert(0, from_flags(listen).map_err(flag)?);
        listeners
    };
    advertise(&mut listeners, settings, &protocols).map_err(blame("advertised.listeners"))?;
    let (controllers, mut listeners): (Vec<_>, Vec<_>) =
        listeners.into_iter().partition(|listener| protocols.controllers.contains(&listener.name));
    if listeners.is_empty() {
        let rule = "listeners names no listener".to_owned();
        return Err(blame("listeners")(ConfigError::Rule(rule)));
    }
    let by_protocol = settings.given("inter.broker.listener.name").is_none();
    let chosen_by = if by_protocol { "security.inter.broker.protocol" } else { "inter.broker.listener.name" };
    let first = inter_broker(&listeners, settings).map_err(blame(chosen_by))?;
    listeners[..=first].rotate_right(1);
    Ok(Listeners { brokers: listeners, controllers })
}

fn from_flags(listen: &[String]) -> Result<ListenerConfig, ConfigError> {
    let mut bind: Vec<Bind> = Vec::new();
    for text in listen {
        let next = Bind::parse(text).map_err(|why| ConfigError::Rule(format!("{text:?} is no address: {why}")))?;
        if next.port != 0 && bind.contains(&next) {
            return Err(ConfigError::Rule(format!("{next} is given twice")));
        }
        bind.push(next);
    }
    Ok(ListenerConfig { name: PLAINTEXT.to_owned(), bind, advertised: None })
}

/// Where HTTP is served: what `--http` gave, else what `http.listen` says.
pub(super) fn http(settings: &Settings, flags: &[String]) -> Result<Vec<Bind>, Problem> {
    let (origin, addresses) = match flags {
        [] => (settings.origin("http.listen"), list(settings, "http.listen")),
        flags => (Some(super::Origin::Flag("--http")), flags.to_vec()),
    };
    let parse = |text: &String| {
        let rule = |why: String| ConfigError::Rule(format!("{text:?} is no address: {why}"));
        Bind::parse(text).map_err(|why| Problem { origin: origin.clone(), error: rule(why) })
    };
    addresses.iter().map(parse).collect()
}

fn from_setting(settings: &Settings, protocols: &Protocols) -> Result<Vec<ListenerConfig>, ConfigError> {
    let entries = list(settings, "listeners");
    let mut listeners: Vec<ListenerConfig> = Vec::new();
    for entry in &entries {
        let invalid = |why: String| ConfigError::Invalid { name: "listeners", value: entry.clone(), reason: why };
        let (name, address) = split_name(entry).map_err(invalid)?;
        protocols.check("listeners", &name)?;
        let bind = Bind::parse(address).map_err(invalid)?;
        for other in &listeners {
            if other.name == name {
                return Err(invalid("Each listener must have a different name".to_owned()));
            }
            let Some(other) = other.bind.first() else { continue };
            let families_differ =
                (bind.host.is_ipv4() && other.host.is_ipv6()) || (bind.host.is_ipv6() && other.host.is_ipv4());
            if bind.port != 0 && bind.port == other.port && !families_differ {
                return Err(invalid(
                    "Each listener must have a different port unless one has an IPv4 address and the other an IPv6 address"
                        .to_owned(),
                ));
            }
        }
        listeners.push(ListenerConfig { name, bind: vec![bind], advertised: None });
    }
    Ok(listeners)
}

/// Obeys `advertised.listeners`.
fn advertise(listeners: &mut [ListenerConfig], settings: &Settings, protocols: &Protocols) -> Result<(), ConfigError> {
    let name_of_setting = "advertised.listeners";
    for entry in &list(settings, name_of_setting) {
        let invalid = |why: String| ConfigError::Invalid { name: name_of_setting, value: entry.clone(), reason: why };
        let (name, address) = split_name(entry).map_err(invalid)?;
        protocols.check(name_of_setting, &name)?;
        let (host, port) = split_host_port(address).map_err(invalid)?;
        if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            return Err(ConfigError::Rule(format!(
                "advertised.listeners cannot use the nonroutable meta-address {host}. Use a routable IP address."
            )));
        }
        let known: Vec<&str> = listeners.iter().map(|listener| listener.name.as_str()).collect();
        let known = known.join(",");
        let Some(listener) = listeners.iter_mut().find(|listener| listener.name == name) else {
            return Err(ConfigError::Rule(format!(
                "advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. \
                 Found {name}. The valid options based on the current configuration are {known}"
            )));
        };
        if listener.advertised.is_some() {
            return Err(invalid("Each listener must have a different name".to_owned()));
        }
        if !host.is_empty() && host.parse::<IpAddr>().is_err() {
            check_host_name(&host).map_err(invalid)?;
        }
        listener.advertised = Some(Advertised { host: Some(host).filter(|host| !host.is_empty()), port });
    }
    Ok(())
}

/// The index of the listener that other brokers use.
fn inter_broker(listeners: &[ListenerConfig], settings: &Settings) -> Result<usize, ConfigError> {
    let position = |name: &str| listeners.iter().position(|listener| listener.name == name);
    let protocol = settings.given("security.inter.broker.protocol").map(Value::to_text);
    if let Some(protocol) = &protocol
        && protocol != PLAINTEXT
    {
        return Err(ConfigError::Security {
            name: "security.inter.broker.protocol".to_owned(),
            what: protocol.clone(),
        });
    }
    match settings.given("inter.broker.listener.name").map(Value::to_text) {
        Some(_) if protocol.is_some() => Err(ConfigError::Rule(
            "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.".to_owned(),
        )),
        Some(name) => position(&name.to_uppercase())
            .ok_or_else(|| ConfigError::Rule(format!("inter.broker.listener.name: {name} is none of the listeners"))),
        None => Ok(position(PLAINTEXT).unwrap_or(0)),
    }
}

/// `listener.security.protocol.map`.
struct Protocols {
    map: Vec<(String, String)>,
    /// Listeners that are not opened, and that Kafka takes for PLAINTEXT where the map is not set.
    controllers: Vec<String>,
}

impl Protocols {
    fn new(settings: &Settings) -> Result<Protocols, ConfigError> {
        const SETTING: &str = "listener.security.protocol.map";
        let text = settings.effective(SETTING).map(|value| value.to_text()).unwrap_or_default();
        let mut map = Vec::new();
        for entry in super::setting::split_list(&text) {
            let invalid =
                |reason: &str| ConfigError::Invalid { name: SETTING, value: entry.clone(), reason: reason.to_owned() };
            let (name, protocol) = entry.rsplit_once(':').ok_or_else(|| invalid("expected NAME:PROTOCOL"))?;
            let (name, protocol) = (name.trim().to_uppercase(), protocol.trim().to_uppercase());
            if !["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"].contains(&protocol.as_str()) {
                return Err(invalid("the protocol must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"));
            }
            // Kafka's default names each protocol for itself, which asks for nothing yet.
            if protocol != PLAINTEXT && protocol != name {
                return Err(ConfigError::Security {
                    name: SETTING.to_owned(),
                    what: format!("{protocol} for the listener {name}"),
                });
            }
            map.push((name, protocol));
        }
        let controllers = controllers::listener_names(settings);
        if settings.given(SETTING).is_none() {
            let unmapped = controllers.iter().filter(|name| !map.iter().any(|(known, _)| known == *name));
            map.extend(unmapped.map(|name| (name.clone(), PLAINTEXT.to_owned())).collect::<Vec<_>>());
        }
        Ok(Protocols { map, controllers })
    }

    /// Whether the listener called `name` in `setting` is one that can be opened.
    fn check(&self, setting: &'static str, name: &str) -> Result<(), ConfigError> {
        match self.map.iter().find(|(known, _)| known == name) {
            Some((_, protocol)) if protocol == PLAINTEXT => Ok(()),
            Some((_, protocol)) => {
                let what = match protocol == name {
                    true => protocol.clone(),
                    false => format!("{protocol} for the listener {name}"),
                };
                Err(ConfigError::Security { name: setting.to_owned(), what })
            }
            None => Err(ConfigError::Rule(format!(
                "No security protocol defined for listener {name}: add {name}:PLAINTEXT to listener.security.protocol.map"
            ))),
        }
    }
}

fn list(settings: &Settings, name: &str) -> Vec<String> {
    match settings.effective(name) {
        Some(Value::List(entries)) => entries,
        _ => Vec::new(),
    }
}

/// `NAME://address` in its parts, the name in capitals.
fn split_name(entry: &str) -> Result<(String, &str), String> {
    let (name, address) = entry.split_once("://").ok_or("expected NAME://host:port")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || !name.chars().all(plain) {
        return Err("a listener's name has letters, digits, '_', '-' and '.' only".to_owned());
    }
    Ok((name.to_ascii_uppercase(), address))
}

/// `host:port` in its parts, an IPv6 address without its brackets.
pub(super) fn split_host_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("expected host:port")?;
    let port = port.parse().map_err(|_| format!("{port:?} is no port (0 to 65535)"))?;
    let host = match host.strip_prefix('[') {
        Some(rest) => {
            let inner = rest.strip_suffix(']').ok_or("the bracket is not closed")?;
            inner.parse::<Ipv6Addr>().map_err(|_| format!("{inner:?} is no IPv6 address"))?;
            inner
        }
        None => host,
    };
    Ok((host.to_owned(), port))
}

fn check_host_name(name: &str) -> Result<&str, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    // A name of digits and dots is meant as an address, and would be looked up in vain.
    let address = name.chars().all(|c| c.is_ascii_digit() || c == '.');
    if name.chars().all(plain) && !address {
        Ok(name)
    } else {
        Err(format!("{name:?} is neither a host name nor an address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)], listen: &[&str]) -> Result<Vec<ListenerConfig>, String> {
        let settings = Settings::of(pairs).map_err(|problems| problems[0].to_string())?;
        let listen: Vec<String> = listen.iter().map(|text| (*text).to_owned()).collect();
        listeners(&settings, &listen).map(|made| made.brokers).map_err(|problem| problem.to_string())
    }

    fn shown(listeners: &[ListenerConfig]) -> String {
        let one = |listener: &ListenerConfig| {
            let bind: Vec<String> = listener.bind.iter().map(ToString::to_string).collect();
            format!("{}@{}", listener.name, bind.join("+"))
        };
        listeners.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn listeners_are_read_as_kafka_reads_them() {
        const MAP: (&str, &str) =
            ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,in:plaintext, OUT:PLAINTEXT,SSL:SSL");
        for (settings, listen, read) in [
            (&[][..], &[][..], "PLAINTEXT@localhost:9092"),
            (&[("listeners", "plaintext://h.example:1")], &[], "PLAINTEXT@h.example:1"),
            (&[("listeners", "PLAINTEXT://:0")], &[], "PLAINTEXT@:0"),
            (&[("listeners", "PLAINTEXT://[::]:9")], &[], "PLAINTEXT@:9"),
            (&[("listeners", "PLAINTEXT://0.0.0.0:9")], &[], "PLAINTEXT@0.0.0.0:9"),
            (&[("listeners", "PLAINTEXT://[::1]:9")], &[], "PLAINTEXT@[::1]:9"),
            (&[("listeners", "PLAINTEXT://::1:9")], &[], "PLAINTEXT@[::1]:9"),
            (&[MAP, ("listeners", "in://:1, OUT://LOCALHOST:2")], &[], "IN@:1 OUT@localhost:2"),
            (&[MAP, ("listeners", "IN://:1,PLAINTEXT://:2")], &[], "PLAINTEXT@:2 IN@:1"),
            (
                &[MAP, ("listeners", "IN://:1,OUT://:2,PLAINTEXT://:3"), ("inter.broker.listener.name", "out")],
                &[],
                "OUT@:2 IN@:1 PLAINTEXT@:3",
            ),
            (&[MAP, ("listeners", "IN://127.0.0.1:1,OUT://[::1]:1")], &[], "IN@127.0.0.1:1 OUT@[::1]:1"),
            (&[MAP, ("listeners", "IN://:0,OUT://:0")], &[], "IN@:0 OUT@:0"),
            (&[("listeners", "PLAINTEXT://:1")], &["localhost:2", "10.0.0.1:3"], "PLAINTEXT@localhost:2+10.0.0.1:3"),
        ] {
            assert_eq!(
                parse(settings, listen).map(|read| shown(&read)),
                Ok(read.to_owned()),
                "{settings:?} {listen:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_opened_is_told() {
        for (settings, listen, wrong) in [
            (&[("listeners", "localhost:9092")][..], &[][..], "expected NAME://host:port"),
            (&[("listeners", "PLAINTEXT://localhost")], &[], "expected host:port"),
            (&[("listeners", "PLAINTEXT://localhost:99999")], &[], "\"99999\" is no port (0 to 65535)"),
            (&[("listeners", "PLAINTEXT://[::1:9092")], &[], "the bracket is not closed"),
            (&[("listeners", "PLAINTEXT://a b:9092")], &[], "\"a b\" is neither a host name nor an address"),
            (&[("listeners", "PLAINTEXT://10.0.0.256:9092")], &[], "\"10.0.0.256\" is neither"),
            (&[("listeners", "")], &[], "--set: listeners names no listener"),
            (&[("listeners", "PLAINTEXT://:1,PLAINTEXT://:2")], &[], "Each listener must have a different name"),
            (&[("listeners", "OUT://:1")], &[], "No security protocol defined for listener OUT: add OUT:PLAINTEXT"),
            (&[("listeners", "SSL://:1")], &[], "--set: listeners asks for security that is not supported yet: SSL"),
            (&[("listeners", "SASL_PLAINTEXT://:1")], &[], "not supported yet: SASL_PLAINTEXT"),
            (
                &[("listener.security.protocol.map", "PLAINTEXT:SSL")],
                &[],
                "not supported yet: SSL for the listener PLAINTEXT",
            ),
            (
                &[("listener.security.protocol.map", "UNUSED:SASL_SSL")],
                &[],
                "not supported yet: SASL_SSL for the listener UNUSED",
            ),
            (&[("listener.security.protocol.map", "PLAINTEXT:TLS")], &[], "the protocol must be PLAINTEXT, SSL"),
            (&[("listener.security.protocol.map", "PLAINTEXT")], &[], "expected NAME:PROTOCOL"),
            (
                &[("listener.security.protocol.map", "A:PLAINTEXT"), ("listeners", "A://:1,PLAINTEXT://:1")],
                &[],
                "No security protocol defined for listener PLAINTEXT",
            ),
            (
                &[("security.inter.broker.protocol", "SASL_SSL")],
                &[],
                "security.inter.broker.protocol asks for security",
            ),
            (&[("inter.broker.listener.name", "OUT")], &[], "OUT is none of the listeners"),
            (
                &[("inter.broker.listener.name", "PLAINTEXT"), ("security.inter.broker.protocol", "PLAINTEXT")],
                &[],
                "Only one of",
            ),
            (
                &[("advertised.listeners", "PLAINTEXT://0.0.0.0:1")],
                &[],
                "cannot use the nonroutable meta-address 0.0.0.0",
            ),
            (&[("advertised.listeners", "PLAINTEXT://[::]:1")], &[], "cannot use the nonroutable meta-address ::"),
            (&[("advertised.listeners", "PLAINTEXT://a:1,PLAINTEXT://b:1")], &[], "different name"),
            (&[("advertised.listeners", "PLAINTEXT://a:b")], &[], "\"b\" is no port"),
            (&[], &["9092"], "--listen: \"9092\" is no address: expected host:port"),
            (&[], &["localhost:kafka"], "--listen: \"localhost:kafka\" is no address: \"kafka\" is no port"),
            (&[], &[":1", ":1"], "--listen: :1 is given twice"),
        ] {
            let told = parse(settings, listen).expect_err(wrong);
            assert!(told.contains(wrong), "{settings:?} {listen:?}: {told}");
        }
        let map = ("listener.security.protocol.map", "A:PLAINTEXT,B:PLAINTEXT");
        let told = parse(&[map, ("listeners", "A://:1"), ("advertised.listeners", "B://x:1")], &[]).unwrap_err();
        assert!(told.contains("Found B. The valid options based on the current configuration are A"), "{told}");
        let told = parse(&[map, ("listeners", "A://h:1,B://:1")], &[]).unwrap_err();
        assert!(told.contains("Each listener must have a different port"), "{told}");
    }

    #[test]
    fn a_client_is_told_an_address_that_works() {
        // (settings, --listen, where the connection came in, what the client is told)
        for (settings, listen, local, told) in [
            (&[][..], &[][..], "127.0.0.1:9092", "localhost:9092"),
            (&[], &[], "[::1]:9092", "localhost:9092"),
            (&[], &["localhost:0"], "127.0.0.1:41234", "localhost:41234"),
            (&[], &[":9092"], "127.0.0.1:9092", "localhost:9092"),
            (&[], &[":9092"], "[::ffff:127.0.0.1]:9092", "localhost:9092"),
            (&[], &[":9092"], "[::ffff:192.168.1.7]:9092", "192.168.1.7:9092"),
            (&[], &["0.0.0.0:9092"], "192.168.1.7:9092", "192.168.1.7:9092"),
            (&[], &[":9092"], "[2001:db8::1]:9092", "2001:db8::1:9092"),
            (&[], &["127.0.0.1:9092"], "127.0.0.1:9092", "127.0.0.1:9092"),
            (&[], &["10.0.0.1:9092"], "10.0.0.1:9092", "10.0.0.1:9092"),
            (&[], &["broker.example:9092"], "10.0.0.1:9092", "broker.example:9092"),
            (&[], &["localhost:1", "10.0.0.1:2"], "10.0.0.1:2", "10.0.0.1:2"),
            (&[], &["localhost:1", "10.0.0.1:2"], "127.0.0.1:1", "localhost:1"),
            (
                &[("advertised.listeners", "PLAINTEXT://kafka.example:19092")],
                &[":9092"],
                "10.0.0.1:9092",
                "kafka.example:19092",
            ),
            (
                &[("advertised.listeners", "PLAINTEXT://kafka.example:0")],
                &[":0"],
                "10.0.0.1:45678",
                "kafka.example:45678",
            ),
            (&[("advertised.listeners", "PLAINTEXT://:19092")], &[":9092"], "10.0.0.1:9092", "10.0.0.1:19092"),
        ] {
            let listeners = parse(settings, listen).unwrap();
            let (host, port) = listeners[0].advertise(local.parse().unwrap());
            assert_eq!(format!("{host}:{port}"), told, "{settings:?} {listen:?} {local}");
        }
    }

    #[test]
    fn http_is_served_where_one_says() {
        let parse = |pairs: &[(&str, &str)], flags: &[&str]| {
            let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
            let bound = http(&Settings::of(pairs).unwrap(), &flags).map_err(|problem| problem.to_string())?;
            Ok::<_, String>(bound.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(parse(&[], &[]), Ok(String::new()));
        let set = [("http.listen", "localhost:1, :2")];
        assert_eq!(parse(&set, &[]), Ok("localhost:1 :2".to_owned()));
        assert_eq!(parse(&set, &["10.0.0.1:3"]), Ok("10.0.0.1:3".to_owned()));
        let told = "--http: \"8080\" is no address: expected host:port";
        assert_eq!(parse(&[], &["8080"]), Err(told.to_owned()));
    }

    #[test]
    fn localhost_is_both_families() {
        let addresses =
            |text| Bind::parse(text).unwrap().addresses().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(addresses("localhost:1"), ["127.0.0.1:1", "[::1]:1"]);
        assert_eq!(addresses(":1"), ["[::]:1"]);
        assert_eq!(addresses("0.0.0.0:1"), ["0.0.0.0:1"]);
        assert_eq!(addresses("name:1"), Vec::<String>::new());
    }
}
