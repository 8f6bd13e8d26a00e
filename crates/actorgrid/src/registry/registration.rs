//! Registrations: writes and reads the values under the keys of a grid.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::IgnoredAny;
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
    fn __text(&self) -> Option<&str> {
        Some(self.name.as_str())
    }

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

/// The value as it is read. Fields that this version does not know are ignored.
#[derive(Deserialize)]
struct Read<L = WrittenLink> {
    address: String,
    registry: String,
    annotations: Option<Vec<String>>,
    nonce: Option<String>,
    link: Option<L>,
}

/// Parses a value. A link of a form that this version does not know counts as none: a peer of a
/// later version must stay reachable.
fn parse(value: &[u8]) -> Result<Read, serde_json::Error> {
    serde_json::from_slice(value).or_else(|error| {
        let read: Read<IgnoredAny> = serde_json::from_slice(value).map_err(|_| error)?;
        Ok(Read {
            address: read.address,
            registry: read.registry,
            annotations: read.annotations,
            nonce: read.nonce,
            link: None,
        })
    })
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
    let mut json = escape(json);
    // An embedded registry keeps it, for each name.
    json.shrink_to_fit();
    Bytes::from(json)
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
    parse(value).is_ok_and(|read| read.nonce == Some(nonce_text(nonce)))
}

/// Returns the peer that holds a registration, if its value can be read.
pub(crate) fn holder(entry: &Entry) -> Option<Name> {
    let read = parse(&entry.value).ok()?;
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
    let read = parse(&entry.value).map_err(|error| error.to_string())?;
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
mod tests;
