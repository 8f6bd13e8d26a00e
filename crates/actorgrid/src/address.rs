//! The address at which other peers reach a peer.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use crate::name::{Name, NameError};
use crate::text_form::text_form;

/// The reason that a text is not an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is not of the form `host:port`.
    Form(String),
    /// The address is unspecified (`0.0.0.0` or `[::]`): no other peer could reach it.
    Unspecified(String),
    /// The port is 0: no other peer could reach it.
    PortZero(String),
    /// The host contains characters that a peer's name cannot contain.
    Host(NameError),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(text) => write!(f, "{text:?} is not an address of the form host:port"),
            Self::Unspecified(text) => write!(
                f,
                "{text} is an unspecified address: set an advertised address that other peers can reach"
            ),
            Self::PortZero(text) => write!(f, "{text} has port 0, which no peer can reach"),
            Self::Host(error) => write!(f, "the host cannot be part of a peer's name: {error}"),
        }
    }
}

impl std::error::Error for AddressError {}

/// An address that other peers can reach: an IP address or a host name, and a port.
///
/// IPv6 is written with brackets, and read with or without them (the Go library writes none).
///
/// ```
/// use actorgrid::Address;
///
/// let address: Address = "127.0.0.1:7777".parse()?;
/// assert_eq!(address.peer_name().as_str(), "127-0-0-1-7777");
/// let address: Address = "::1:7777".parse()?;
/// assert_eq!(address.to_string(), "[::1]:7777");
/// # Ok::<(), actorgrid::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    text: Arc<str>,
    peer: Name,
}

impl Address {
    /// Returns the text, `host:port`, with brackets around an IPv6 host.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the host, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.text.rsplit_once(':').map_or("", |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.text
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or_default()
    }

    /// Returns the name of the peer at this address: the address without brackets, with `:`, `.`
    /// and `/` replaced by `-`.
    #[must_use]
    pub fn peer_name(&self) -> &Name {
        &self.peer
    }

    /// Returns the address without brackets, as the Go library writes it in the key of its lock.
    pub(crate) fn without_brackets(&self) -> String {
        format!("{}:{}", self.host(), self.port())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let form = || AddressError::Form(text.chars().take(128).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(form)?;
        let port: u16 = port.parse().map_err(|_| form())?;
        let host = host
            .strip_prefix('[')
            .map_or(Some(host), |inner| inner.strip_suffix(']'))
            .ok_or_else(form)?;
        let written = match host.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => {
                return Err(AddressError::Unspecified(text.to_owned()));
            }
            Ok(ip) => SocketAddr::new(ip, port).to_string(),
            Err(_) if host.contains(':') && host.parse::<Ipv6Addr>().is_err() => return Err(form()),
            Err(_) if host.is_empty() => return Err(form()),
            Err(_) => format!("{host}:{port}"),
        };
        if port == 0 {
            return Err(AddressError::PortZero(written));
        }
        let bare = written.replace(['[', ']'], "");
        let peer = Name::of_peer(&bare).map_err(AddressError::Host)?;
        Ok(Self {
            text: written.into(),
            peer,
        })
    }
}

text_form!(Address);

impl TryFrom<SocketAddr> for Address {
    type Error = AddressError;

    fn try_from(address: SocketAddr) -> Result<Self, AddressError> {
        address.to_string().parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_and_writes_one() {
        for (text, written, peer) in [
            ("127.0.0.1:7777", "127.0.0.1:7777", "127-0-0-1-7777"),
            ("[::1]:7777", "[::1]:7777", "--1-7777"),
            ("::1:7777", "[::1]:7777", "--1-7777"),
            ("[fe80::2]:80", "[fe80::2]:80", "fe80--2-80"),
            (
                "node-1.example.org:80",
                "node-1.example.org:80",
                "node-1-example-org-80",
            ),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.as_str(), written, "{text}");
            assert_eq!(address.peer_name().as_str(), peer, "{text}");
            assert_eq!(written.parse::<Address>().unwrap(), address);
        }
        let address: Address = "[::1]:7777".parse().unwrap();
        assert_eq!((address.host(), address.port()), ("::1", 7777));
        assert_eq!(address.without_brackets(), "::1:7777");
    }

    #[test]
    fn refuses_what_no_peer_could_reach() {
        for text in [
            "", "7777", "a", "a:", "a:b", ":1", "[::1:7", "a b:1", "x:y:1", "a:70000",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        for text in ["0.0.0.0:1", "[::]:1", ":::1"] {
            assert!(
                matches!(text.parse::<Address>(), Err(AddressError::Unspecified(_))),
                "{text}"
            );
        }
        assert!(matches!(
            "127.0.0.1:0".parse::<Address>(),
            Err(AddressError::PortZero(_))
        ));
    }
}
