//! The feature `serde`: what is written, that it round-trips, and what is rejected.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

use std::fmt::Debug;

use actorgrid::{
    ActorStart, ActorType, Address, ClusterId, Kind, Name, Namespace, Registration, Registry,
    Server, Token,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[track_caller]
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, json: &str) {
    assert_eq!(serde_json::to_string(value).unwrap(), json);
    assert_eq!(&serde_json::from_str::<T>(json).unwrap(), value);
    // A reader cannot lend its data, so nothing may be borrowed from it.
    assert_eq!(
        &serde_json::from_reader::<_, T>(json.as_bytes()).unwrap(),
        value
    );
}

#[track_caller]
fn refused<T: DeserializeOwned + Debug>(json: &str, why: &str) {
    let error = serde_json::from_str::<T>(json).unwrap_err().to_string();
    assert!(error.contains(why), "{json}: {error}");
}

#[test]
fn names_tokens_and_addresses_are_texts() {
    round_trip(&Name::new("worker-7").unwrap(), r#""worker-7""#);
    round_trip(&Namespace::new("mygrid").unwrap(), r#""mygrid""#);
    round_trip(&"2a:17".parse::<Token>().unwrap(), r#""2a:17""#);
    // JavaScript would not preserve it as a number.
    round_trip(&ClusterId(u64::MAX), r#""ffffffffffffffff""#);
    round_trip(&"[::1]:7777".parse::<Address>().unwrap(), r#""[::1]:7777""#);
    let read: Address = serde_json::from_str(r#""::1:7777""#).unwrap();
    assert_eq!(read.as_str(), "[::1]:7777");
}

#[test]
fn what_is_read_is_checked() {
    refused::<Name>(r#""worker.7""#, "this one holds '.' at byte 6");
    refused::<Name>(r#""""#, "a name must not be empty");
    refused::<Namespace>(r#""a b""#, "holds ' ' at byte 1");
    refused::<Token>(r#""2a""#, "a token is written cluster:revision");
    refused::<Token>(r#""2a:-1""#, "a token is written cluster:revision");
    refused::<ClusterId>(r#""+1""#, "hexadecimal");
    refused::<Address>(r#""0.0.0.0:1""#, "is an unspecified address");
    for json in ["7", "null", "[]", "{}"] {
        refused::<Name>(json, "invalid type");
        refused::<Token>(json, "invalid type");
        refused::<Address>(json, "invalid type");
    }
}

#[tokio::test]
async fn registrations_come_back_whole() {
    let registry = Registry::connect("memory:").await.unwrap();
    let server = Server::builder("test", registry)
        .annotation("zone-b")
        .annotation("zone-a")
        .actor_type(ActorType::from_fn("idle", async |_start, ctx| {
            ctx.stopping().await;
            Ok(())
        }))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = server.client();
    let start = ActorStart::new("i", "idle");
    client.start(server.peer(), start).await.unwrap();
    let peer = client.query(Kind::Peer).await.unwrap().remove(0);
    let actor = client.query(Kind::Actor).await.unwrap().remove(0);
    for registration in [&peer, &actor] {
        let Registration {
            kind,
            name,
            address,
            token,
            ..
        } = registration;
        let annotations = match kind {
            Kind::Peer => r#"["zone-a","zone-b"]"#,
            _ => "[]",
        };
        // Another one with each start.
        let written = serde_json::to_value(registration).unwrap();
        let incarnation = written["link"]["incarnation"].as_str().unwrap();
        assert!(u64::from_str_radix(incarnation, 16).is_ok_and(|number| number != 0));
        let json = format!(
            r#"{{"kind":"{kind}","name":"{name}","peer":"{}","address":"{address}","annotations":{annotations},"token":"{token}","actorgrid":true,"link":{{"versions":[1,1],"incarnation":"{incarnation}"}}}}"#,
            peer.name,
        );
        round_trip(registration, &json);
        refused::<Registration>(
            &json.replace(r#""token""#, r#""t""#),
            "missing field `token`",
        );
        refused::<Registration>(
            &json.replace(r#""kind":""#, r#""kind":"x"#),
            "unknown variant",
        );
        // A later version may add fields.
        let later = json.replace(r#"{"kind""#, r#"{"new":[1],"kind""#);
        assert_eq!(
            &serde_json::from_str::<Registration>(&later).unwrap(),
            registration
        );
    }
    server.shutdown().await.unwrap();
}
