//! The bytes of registrations, recorded: no later version may write them otherwise, or fail to read
//! them. The tests of the Go programs in `interop/go` read the same file.

use super::*;

const GOLDEN: &str = include_str!("golden.txt");
/// In the recorded registrations.
const VERSIONS: (u16, u16) = (1, 1);

/// The recorded values of one program.
fn of(program: &'static str) -> impl Iterator<Item = &'static str> {
    let lines = GOLDEN.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(move |(by, value)| (by == program).then_some(value))
}

/// A field of a recorded value.
fn field<'a>(value: &'a serde_json::Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn number(hexadecimal: &str) -> u64 {
    u64::from_str_radix(hexadecimal, 16).unwrap()
}

/// Reads a value as the registration that its key says.
fn read_back(value: &str) -> Registration {
    let json: serde_json::Value = serde_json::from_str(value).unwrap();
    let key = field(&json, "key");
    let (prefix, _) = key.rsplit_once('.').unwrap();
    let kinds = [Kind::Peer, Kind::Actor, Kind::Mailbox];
    let kind = kinds
        .into_iter()
        .find(|kind| prefix.ends_with(kind.as_str()))
        .unwrap();
    let read = read(
        &entry(key, value),
        &format!("{prefix}."),
        kind,
        ClusterId(3),
    )
    .unwrap();
    assert_eq!(read.kind, kind);
    assert_eq!(format!("{prefix}.{}", read.name), key);
    assert_eq!(read.address.as_str(), field(&json, "address"));
    assert_eq!(read.peer.as_str(), field(&json, "registry"));
    assert_eq!(holder(&entry(key, value)), Some(read.peer.clone()));
    let annotations = json["annotations"].as_array().cloned().unwrap_or_default();
    assert!(annotations.iter().eq(read.annotations.iter()));
    if let Some(nonce) = json["nonce"].as_str() {
        assert!(carries(value.as_bytes(), number(nonce)));
    }
    read
}

#[test]
fn our_registrations_are_written_as_recorded() {
    for value in of("link") {
        let json: serde_json::Value = serde_json::from_str(value).unwrap();
        let read = read_back(value);
        let link = LinkAnnouncement {
            oldest: VERSIONS.0,
            newest: VERSIONS.1,
            incarnation: Incarnation::new(number(field(&json["link"], "incarnation"))),
        };
        let nonce = number(field(&json, "nonce"));
        let key = field(&json, "key");
        let written = write(
            key,
            &read.address,
            &read.annotations,
            Some(nonce),
            Some(link),
        );
        assert_eq!(written, value);
        assert_eq!(
            read.capabilities,
            Capabilities::ACTORGRID.with_link(Some(link))
        );
    }
    assert_eq!(of("link").count(), 7);
}

#[test]
fn registrations_of_before_the_link_are_read_and_would_be_written_as_recorded() {
    for value in of("before") {
        let json: serde_json::Value = serde_json::from_str(value).unwrap();
        let read = read_back(value);
        assert_eq!(read.capabilities, Capabilities::ACTORGRID);
        let nonce = number(field(&json, "nonce"));
        let key = field(&json, "key");
        let written = write(key, &read.address, &read.annotations, Some(nonce), None);
        assert_eq!(written, value);
    }
    assert_eq!(of("before").count(), 3);
}

#[test]
fn registrations_of_the_go_library_are_read_and_would_be_written_as_recorded() {
    for value in of("go") {
        let read = read_back(value);
        assert_eq!(read.capabilities, Capabilities::GO);
        let json: serde_json::Value = serde_json::from_str(value).unwrap();
        let key = field(&json, "key");
        let written = write(key, &read.address, &read.annotations, None, None);
        assert_eq!(written, value);
    }
    assert_eq!(of("go").count(), 3);
}

/// A later version may write more, and its link otherwise.
#[test]
fn a_link_of_another_form_is_read_as_none_and_the_rest_as_it_is() {
    let with = |link: &str| {
        format!(
            r#"{{"key":"n.actor.a","address":"1.2.3.4:5","registry":"1-2-3-4-5","annotations":null,"nonce":"000000000000000a","link":{link},"more":[1]}}"#
        )
    };
    for link in [
        "null",
        "[]",
        "7",
        r#""later""#,
        "{}",
        r#"{"versions":[1,1]}"#,
        r#"{"versions":[1,70000],"incarnation":"1"}"#,
        r#"{"versions":"1-3","incarnation":"1"}"#,
        r#"{"versions":[1,2,3],"incarnation":"1"}"#,
        r#"{"versions":[1,1],"incarnation":1}"#,
        r#"{"versions":[1,1],"incarnation":"x"}"#,
        r#"{"versions":[2,1],"incarnation":"1"}"#,
    ] {
        assert_eq!(
            read_back(&with(link)).capabilities,
            Capabilities::ACTORGRID,
            "{link}"
        );
    }
    let announced = read_back(&with(r#"{"versions":[1,9],"incarnation":"1","more":{}}"#));
    let link = announced.capabilities.link().unwrap();
    assert_eq!(
        (link.oldest, link.newest, link.incarnation.get()),
        (1, 9, 1)
    );
}
