//! The keys of a grid. Peers of the Go library read and write the same keys, except the epoch.

use super::kind::Kind;
use super::lease::LeaseId;
use crate::address::Address;
use crate::name::{Name, Namespace};

/// Returns the key of a name: `<namespace>.<kind>.<name>`.
pub(crate) fn of(namespace: &Namespace, kind: Kind, name: &Name) -> String {
    format!("{namespace}.{}.{name}", kind.as_str())
}

/// Returns the prefix of all keys of one kind.
pub(crate) fn prefix(namespace: &Namespace, kind: Kind) -> String {
    format!("{namespace}.{}.", kind.as_str())
}

/// Returns the key of the lock on an address, which is shared by all namespaces.
pub(crate) fn lock(address: &Address) -> String {
    format!("registry.uniq-lock.{}", address.without_brackets())
}

/// Returns the key of the epoch of a peer's session, which Go peers ignore.
pub(crate) fn epoch(namespace: &Namespace, peer: &Name) -> String {
    format!("{namespace}.epoch.{peer}")
}

/// Returns the key of the epoch of a session's further lease, which Go peers ignore too. No name
/// contains a dot, so it is no epoch of another peer.
pub(crate) fn epoch_of_lease(namespace: &Namespace, peer: &Name, lease: LeaseId) -> String {
    format!("{namespace}.epoch.{peer}.{:x}", lease.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_those_of_the_go_library() {
        let namespace = Namespace::new("gobench").unwrap();
        let address: Address = "127.0.0.1:23901".parse().unwrap();
        let leader = Name::new("leader").unwrap();
        for (key, golden) in [
            (of(&namespace, Kind::Actor, &leader), "gobench.actor.leader"),
            (
                of(&namespace, Kind::Mailbox, address.peer_name()),
                "gobench.mailbox.127-0-0-1-23901",
            ),
            (
                of(&namespace, Kind::Peer, address.peer_name()),
                "gobench.peer.127-0-0-1-23901",
            ),
            (prefix(&namespace, Kind::Peer), "gobench.peer."),
            (lock(&address), "registry.uniq-lock.127.0.0.1:23901"),
        ] {
            assert_eq!(key, golden);
        }
        assert_eq!(
            epoch_of_lease(&namespace, address.peer_name(), LeaseId(0x2a)),
            "gobench.epoch.127-0-0-1-23901.2a"
        );
        // The Go library writes no brackets.
        let six: Address = "[::1]:7777".parse().unwrap();
        assert_eq!(lock(&six), "registry.uniq-lock.::1:7777");
        assert_eq!(
            of(&namespace, Kind::Peer, six.peer_name()),
            "gobench.peer.--1-7777"
        );
    }
}
