//! Registrations: writes and reads the values under the keys of a grid.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::capabilities::Capabilities;
use super::entry::Entry;
use super::kind::Kind;
use super::link_announcement::{LinkAnnouncement, WrittenLink};
use crate::address::Address;
use crate::name::{IntoName, Name, NameError};
use crate::token::{ClusterId, Token};

/// A registered name, with its holder and the holder's token.
#[doc(alias = "QueryEvent")]
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Registration {
    /// The kind of the name.
    pub kind: Kind,
    /// The name.
    pub name: Name,
    /// The peer that holds the name.
    pub peer: Name,
    /// The address of the peer.
    pub address: Address,
    /// The annotations of the peer, sorted; empty for actors and mailboxes.
    pub annotations: Arc<[String]>,
    /// The token of the holder.
    pub token: Token,
    /// The capabilities of the peer that wrote the registration. Only peers of this library write a
    /// nonce.
    pub(crate) capabilities: Capabilities,
}

impl IntoName for &Registration {
    fn into_name(self) -> Result<Name, NameError> {
        Ok(self.name.clone())
    }
}

/// The value of a registration: the Go library's fields in its order, followed by ours.
#[derive(Serialize)]
struct Written<'a> {
    key: &'a str,
    address: &'a str,
    registry: &'a str,
    annotations: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<WrittenLink>,
}

#[derive(Deserialize)]
struct Read {
    address: String,
    registry: String,
    #[serde(default)]
    annotations: Option<Vec<String>>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    link: Option<WrittenLink>,
}

/// Formats the nonce of a claim in hexadecimal, so that no reader mistakes it for a number.
fn nonce_text(nonce: u64) -> String {
    format!("{nonce:016x}")
}

/// Returns the value to register `key` with. Without annotations that field is `null`, as in Go.
pub(crate) fn write(
    key: &str,
    address: &Address,
    annotations: &[String],
    nonce: Option<u64>,
    link: Option<LinkAnnouncement>,
) -> Bytes {
    let written = Written {
        key,
        address: address.as_str(),
        registry: address.peer_name().as_str(),
        annotations: (!annotations.is_empty()).then_some(annotations),
        nonce: nonce.map(nonce_text),
        link: link.map(WrittenLink::from),
    };
    // A struct of strings always has a JSON form.
    let json = serde_json::to_string(&written).unwrap_or_default();
    Bytes::from(escape(json))
}

/// Escapes the three characters (and two separators) that Go's encoder escapes.
fn escape(json: String) -> String {
    const ESCAPED: [(char, &str); 5] = [
        ('&', "\\u0026"),
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ];
    ESCAPED.iter().fold(json, |json, (plain, escape)| {
        if json.contains(*plain) {
            json.replace(*plain, escape)
        } else {
            json
        }
    })
}

/// Whether a value contains this nonce.
pub(crate) fn carries(value: &[u8], nonce: u64) -> bool {
    serde_json::from_slice::<Read>(value).is_ok_and(|read| read.nonce == Some(nonce_text(nonce)))
}

/// Returns the peer that holds a registration, if its value can be read.
pub(crate) fn holder(entry: &Entry) -> Option<Name> {
    let read: Read = serde_json::from_slice(&entry.value).ok()?;
    Name::new(&read.registry).ok()
}

#[cfg(test)]
pub(crate) fn value_with_nonce(nonce: u64) -> Bytes {
    let address: Address = "127.0.0.1:1".parse().unwrap();
    write("k", &address, &[], Some(nonce), None)
}

/// Reads an entry leniently. The error text explains why it is not a registration.
pub(crate) fn read(
    entry: &Entry,
    prefix: &str,
    kind: Kind,
    cluster: ClusterId,
) -> Result<Registration, String> {
    let name = entry
        .key
        .strip_prefix(prefix)
        .ok_or("the key has a different prefix")?;
    let name = Name::new(name).map_err(|error| error.to_string())?;
    let read: Read = serde_json::from_slice(&entry.value).map_err(|error| error.to_string())?;
    let address: Address = read
        .address
        .parse()
        .map_err(|error: crate::address::AddressError| error.to_string())?;
    let peer = Name::new(&read.registry).map_err(|error| error.to_string())?;
    Ok(Registration {
        kind,
        name,
        peer,
        address,
        annotations: read.annotations.unwrap_or_default().into(),
        token: Token::new(cluster, entry.created),
        capabilities: Capabilities::of(read.nonce.is_some())
            .with_link(read.link.and_then(|link| link.read())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::Revision;

    fn entry(key: &str, value: &str) -> Entry {
        Entry {
            key: key.to_owned(),
            value: Bytes::copy_from_slice(value.as_bytes()),
            created: Revision::new(7),
            modified: Revision::new(9),
            lease: None,
        }
    }

    const PEER: &str = r#"{"key":"ctee.peer.127-0-0-1-23951","address":"127.0.0.1:23951","registry":"127-0-0-1-23951","annotations":["zone-a","zone-b"]}"#;
    const LEADER: &str = r#"{"key":"gobench.actor.leader","address":"127.0.0.1:23901","registry":"127-0-0-1-23901","annotations":null}"#;

    const MAILBOX: &str = r#"{"key":"gobench.mailbox.127-0-0-1-23901","address":"127.0.0.1:23901","registry":"127-0-0-1-23901","annotations":null}"#;

    #[test]
    fn writes_what_a_go_peer_writes() {
        let address = "127.0.0.1:23951".parse().unwrap();
        let zones = ["zone-a".to_owned(), "zone-b".to_owned()];
        assert_eq!(
            write("ctee.peer.127-0-0-1-23951", &address, &zones, None, None),
            PEER
        );
        let address = "127.0.0.1:23901".parse().unwrap();
        assert_eq!(
            write("gobench.actor.leader", &address, &[], None, None),
            LEADER
        );
        let key = "gobench.mailbox.127-0-0-1-23901";
        assert_eq!(write(key, &address, &[], None, None), MAILBOX);
        let value = write("k", &address, &["<a>&b".to_owned()], Some(10), None);
        assert_eq!(
            value,
            r#"{"key":"k","address":"127.0.0.1:23901","registry":"127-0-0-1-23901","annotations":["\u003ca\u003e\u0026b"],"nonce":"000000000000000a"}"#
        );
        assert!(carries(&value, 10));
        assert!(!carries(&value, 11));
        assert!(!carries(LEADER.as_bytes(), 10));
    }

    #[test]
    fn reads_leniently() {
        let cluster = ClusterId(3);
        let peer = read(
            &entry("ctee.peer.127-0-0-1-23951", PEER),
            "ctee.peer.",
            Kind::Peer,
            cluster,
        )
        .unwrap();
        assert_eq!(peer.name.as_str(), "127-0-0-1-23951");
        assert_eq!(peer.address.as_str(), "127.0.0.1:23951");
        assert_eq!(*peer.annotations, ["zone-a", "zone-b"]);
        assert_eq!(peer.token, Token::new(cluster, Revision::new(7)));
        for (key, value, prefix) in [
            ("gobench.actor.leader", LEADER, "gobench.actor."),
            (
                "gobench.mailbox.127-0-0-1-23901",
                MAILBOX,
                "gobench.mailbox.",
            ),
        ] {
            let read = read(&entry(key, value), prefix, Kind::Actor, cluster).unwrap();
            assert_eq!(read.peer.as_str(), "127-0-0-1-23901");
            assert_eq!(read.address.as_str(), "127.0.0.1:23901");
            assert!(read.annotations.is_empty());
        }
        let six = r#"{"address":"::1:7777","registry":"--1-7777","annotations":[],"new":{"a":1}}"#;
        let six = read(&entry("n.actor.a", six), "n.actor.", Kind::Actor, cluster).unwrap();
        assert_eq!(six.address.as_str(), "[::1]:7777");
        for (key, value) in [
            ("n.actor.a", "{"),
            ("n.actor.a", ""),
            ("n.actor.a", r#"{"address":"x","registry":"p"}"#),
            ("n.actor.a", r#"{"address":"1.2.3.4:5","registry":""}"#),
            ("n.actor.a b", LEADER),
            ("m.actor.a", LEADER),
        ] {
            assert!(
                read(&entry(key, value), "n.actor.", Kind::Actor, cluster).is_err(),
                "{key} {value}"
            );
        }
    }
}
