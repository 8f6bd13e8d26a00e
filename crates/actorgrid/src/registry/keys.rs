//! The keys of a grid. The Go library's peers read and write the same ones, the epoch excepted.

use crate::address::Address;
use crate::name::{Name, Namespace};
use crate::registry::Kind;

/// `<namespace>.<kind>.<name>`.
pub(crate) fn of(namespace: &Namespace, kind: Kind, name: &Name) -> String {
    format!("{namespace}.{}.{name}", kind.word())
}

/// What all keys of one kind begin with.
pub(crate) fn prefix(namespace: &Namespace, kind: Kind) -> String {
    format!("{namespace}.{}.", kind.word())
}

/// The lock on an address, over all namespaces.
pub(crate) fn lock(address: &Address) -> String {
    format!("registry.uniq-lock.{}", address.without_brackets())
}

/// The epoch of a peer's session, where a Go peer does not look.
pub(crate) fn epoch(namespace: &Namespace, peer: &Name) -> String {
    format!("{namespace}.epoch.{peer}")
}
