//! The bytes of registrations, and reading those of other programs.

mod golden;

use super::*;
use crate::registry::Incarnation;
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
