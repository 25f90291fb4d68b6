//! Where a broker is: `HOST:PORT`.

use std::{fmt, str::FromStr};

/// The port where none is named.
const DEFAULT_PORT: u16 = 9092;

/// A host, by name or by number, and a port. What resolves it is the connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Without brackets where it is an IPv6 address.
    pub host: String,
    pub port: u16,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("{0:?} is no address: expected host:port")]
    Shape(String),
    #[error("{address:?} is no address: {port:?} is no port (1 to 65535)")]
    Port { address: String, port: String },
}

impl Address {
    pub fn new(host: impl Into<String>, port: u16) -> Address {
        Address { host: host.into(), port }
    }

    /// Addresses with commas in between, as `bootstrap.servers` has them.
    pub fn list(text: &str) -> Result<Vec<Address>, AddressError> {
        let addresses: Vec<Address> = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(Address::from_str)
            .collect::<Result<_, _>>()?;
        if addresses.is_empty() { Err(AddressError::Shape(text.to_owned())) } else { Ok(addresses) }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// `host`, `host:port`, `[::1]:port` or an IPv6 address alone.
    fn from_str(text: &str) -> Result<Address, AddressError> {
        let shape = || AddressError::Shape(text.to_owned());
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(shape)?;
                match rest {
                    "" => (host, None),
                    _ => (host, Some(rest.strip_prefix(':').ok_or_else(shape)?)),
                }
            }
            None => match text.split_once(':') {
                Some((_, rest)) if rest.contains(':') => (text, None),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(shape());
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => match port.parse() {
                Ok(number) if number > 0 => number,
                _ => return Err(AddressError::Port { address: text.to_owned(), port: port.to_owned() }),
            },
        };
        Ok(Address::new(host, port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, host, port, shown) in [
            ("localhost", "localhost", 9092, "localhost:9092"),
            ("kafka.example.org:19092", "kafka.example.org", 19092, "kafka.example.org:19092"),
            ("10.0.0.1:1", "10.0.0.1", 1, "10.0.0.1:1"),
            ("[::1]:9093", "::1", 9093, "[::1]:9093"),
            ("[::1]", "::1", 9092, "[::1]:9092"),
            ("fe80::1", "fe80::1", 9092, "[fe80::1]:9092"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host.as_str(), address.port, address.to_string().as_str()), (host, port, shown));
        }
        assert_eq!(Address::list(" a:1, b ,").unwrap(), [Address::new("a", 1), Address::new("b", 9092)]);
    }

    #[test]
    fn what_is_no_address_is_said() {
        for (text, told) in [
            ("", "\"\" is no address: expected host:port"),
            (",", "\",\" is no address: expected host:port"),
            (":9092", "\":9092\" is no address: expected host:port"),
            ("a b:1", "\"a b:1\" is no address: expected host:port"),
            ("http://a", "\"http://a\" is no address: \"//a\" is no port (1 to 65535)"),
            ("a:0", "\"a:0\" is no address: \"0\" is no port (1 to 65535)"),
            ("a:65536", "\"a:65536\" is no address: \"65536\" is no port (1 to 65535)"),
            ("[::1", "\"[::1\" is no address: expected host:port"),
            ("[::1]9092", "\"[::1]9092\" is no address: expected host:port"),
        ] {
            let error = Address::list(text).unwrap_err().to_string();
            assert!(error == told, "{error} is not {told}");
        }
    }
}
