//! Requests and starts, in both directions.

use std::time::Instant;

use actorgrid::{ActorStart, Client, EchoMsg, Payload, Registry, RequestErrorKind};
use interop::{Bed, Command, Kind, NAMESPACE, secs};
use prost::Message as _;

/// The largest message that both libraries accept, in bytes: for Go, the message with its envelope.
const LIMIT: usize = 4 * 1024 * 1024;

pub(crate) const ECHO: &str = "github.com/lytics/grid/v3/EchoMsg";

/// A delivery as the Go library encodes it, to compute its length.
#[derive(Clone, PartialEq, prost::Message)]
struct Delivery {
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
    #[prost(string, tag = "3")]
    type_name: String,
    #[prost(string, tag = "4")]
    receiver: String,
}

/// Returns the length of the text that makes a delivery to this mailbox exactly as long as the
/// limit.
pub(crate) fn longest_text(mailbox: &str) -> usize {
    let length_with = |text: usize| {
        let mut data = bytes_of(&EchoMsg::new("x".repeat(text)));
        let delivery = Delivery {
            data: std::mem::take(&mut data),
            type_name: ECHO.to_owned(),
            receiver: format!("{NAMESPACE}.mailbox.{mailbox}"),
        };
        delivery.encoded_len()
    };
    let text = LIMIT - (length_with(LIMIT) - LIMIT);
    assert_eq!(length_with(text), LIMIT);
    text
}

fn bytes_of(message: &EchoMsg) -> Vec<u8> {
    let mut buffer = Default::default();
    actorgrid::Message::encode(message, &mut buffer);
    buffer.to_vec()
}

pub(crate) async fn go_asks_rust(bed: &Bed) {
    let peer = bed.serving(Kind::Rust, "rust-asked", &[]).await;
    let name = "asked-by-go";
    bed.go.start_actor(&peer.id, name, "echo").await.success();
    let answer = bed.go.request(name, "hello").await.success();
    assert_eq!(
        (answer.type_name.as_str(), answer.text.as_str()),
        ("*grid.EchoMsg", "hello")
    );
    let sized = |size| {
        bed.go.ask(Command {
            op: "request",
            to: name.to_owned(),
            size,
            ..Command::default()
        })
    };
    for size in [4096, 3_000_000, longest_text(name)] {
        assert_eq!(sized(size).await.success().length, size);
    }
    let refused = sized(longest_text(name) + 1).await;
    let text = "grpc: received message larger than max (4194305 vs. 4194304)";
    assert_eq!(refused.failure(), (8, text));
}

pub(crate) async fn rust_asks_go(bed: &Bed) {
    let peer = bed.serving(Kind::Go, "go-asked", &[]).await;
    let name = "asked-by-rust";
    bed.rust
        .start(peer.id.as_str(), ActorStart::new(name, "echo"))
        .await
        .unwrap();
    let text_of = |size: usize| "x".repeat(size);
    for text in [
        "hello".to_owned(),
        text_of(4096),
        text_of(3_000_000),
        text_of(longest_text(name)),
    ] {
        // A Go actor opens its mailbox a moment after its start is acknowledged.
        let request = bed.rust.request(name, EchoMsg::new(text.clone()));
        assert_eq!(request.wait_for_name().await.unwrap().msg, text);
    }
    // Our client rejects it before sending; if a client may send more, the Go peer rejects it.
    let long = longest_text(name) + 1;
    let error = bed.rust.request(name, EchoMsg::new(text_of(LIMIT + 1)));
    let error = error.await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::MessageTooLarge);
    assert!(!error.may_have_executed());
    let registry = Registry::connect(&bed.etcd.url()).await.unwrap();
    let generous = Client::builder(NAMESPACE, registry)
        .max_message_bytes(2 * LIMIT)
        .build();
    let error = generous.request(name, EchoMsg::new(text_of(long)));
    let error = error.await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::MessageTooLarge);
}

/// A Go peer announces no link, so no time is lost with an attempt at one.
pub(crate) async fn the_first_call_to_a_go_peer_takes_less_than_a_second(bed: &Bed) {
    let peer = bed.serving(Kind::Go, "go-first", &[]).await;
    let name = "first-of-rust";
    let start = ActorStart::new(name, "echo");
    bed.rust.start(peer.id.as_str(), start).await.unwrap();
    let there = bed.rust.request(name, EchoMsg::new("")).wait_for_name();
    there.await.unwrap();
    let registry = Registry::connect(&bed.etcd.url()).await.unwrap();
    let client = Client::new(NAMESPACE, registry);
    let began = Instant::now();
    let answer = client.request(name, EchoMsg::new("hello")).await;
    let took = began.elapsed();
    assert_eq!(answer.unwrap().msg, "hello");
    println!("the first call of our client to a Go peer takes {took:.1?}");
    assert!(took < secs(1), "{took:?}");
}

pub(crate) async fn both_start_actors_on_the_other(bed: &Bed) {
    let go = bed.serving(Kind::Go, "go-starting", &[]).await;
    let rust = bed.serving(Kind::Rust, "rust-starting", &[]).await;
    // Each library asks each peer; the actor answers where it runs.
    for (peer, kind) in [(&go, "go"), (&rust, "rust")] {
        let name = format!("started-by-go-on-{kind}");
        bed.go.start_actor(&peer.id, &name, "where").await.success();
        let place = bed.rust.request(name.as_str(), EchoMsg::new(""));
        assert_eq!(place.wait_for_name().await.unwrap().msg, peer.id);
        let name = format!("started-by-rust-on-{kind}");
        let start = ActorStart::new(name.as_str(), "where");
        bed.rust.start(peer.id.as_str(), start).await.unwrap();
        // The Go client does not wait for a mailbox, but our client has reached it by then.
        let place = bed.rust.request(name.as_str(), EchoMsg::new(""));
        assert_eq!(place.wait_for_name().await.unwrap().msg, peer.id);
        assert_eq!(bed.go.request(&name, "").await.success().text, peer.id);
    }
    assert!(go.stop().await.success());
    assert!(rust.stop().await.success());
}

pub(crate) async fn names_with_the_vendor_prefix_are_taken_by_both(bed: &Bed) {
    let vendored = format!("github.com/lytics/lio/vendor/{ECHO}");
    let go = bed.serving(Kind::Go, "go-vendored", &[]).await;
    let rust = bed.serving(Kind::Rust, "rust-vendored", &[]).await;
    for (peer, name) in [(&go, "vendored-go"), (&rust, "vendored-rust")] {
        bed.go.start_actor(&peer.id, name, "echo").await.success();
        let message = Payload::new(vendored.clone(), bytes_of(&EchoMsg::new("old")));
        let answer = bed.rust.request(name, message).wait_for_name();
        assert_eq!(
            answer.await.unwrap().decode::<EchoMsg>().unwrap().msg,
            "old"
        );
        let answer = bed.go.ask(Command {
            op: "process",
            address: peer.address(),
            to: format!("{NAMESPACE}.mailbox.{name}"),
            type_name: vendored.clone(),
            text: "old".to_owned(),
            ..Command::default()
        });
        let answer = answer.await.success();
        assert_eq!((answer.type_name.as_str(), answer.length), (ECHO, 5));
    }
}

/// A peer of the Go library closes a connection on which it receives keep-alive pings more often
/// than every five minutes.
pub(crate) async fn long_calls_and_quiet_connections_last_both_ways(bed: &Bed) {
    let go = bed.serving(Kind::Go, "go-long", &[]).await;
    let rust = bed.serving(Kind::Rust, "rust-long", &[]).await;
    bed.go
        .start_actor(&go.id, "long-go", "slow")
        .await
        .success();
    bed.go
        .start_actor(&rust.id, "long-rust", "slow")
        .await
        .success();
    let ours = bed.rust.request("long-go", EchoMsg::new("25000"));
    let ours = ours.wait_for_name().deadline(secs(40)).send();
    let theirs = bed.go.ask(Command {
        op: "request",
        to: "long-rust".to_owned(),
        text: "25000".to_owned(),
        timeout_ms: 40_000,
        ..Command::default()
    });
    let (ours, theirs) = tokio::join!(ours, theirs);
    ours.unwrap();
    theirs.success();
}

/// A Rust peer cannot prevent the repeats, but it can count them.
pub(crate) async fn a_go_client_repeats_what_failed_and_ours_does_not(bed: &Bed) {
    let go = bed.serving(Kind::Go, "go-counting", &[]).await;
    let rust = bed.serving(Kind::Rust, "rust-counting", &[]).await;
    for (peer, name) in [(&go, "counting-go"), (&rust, "counting-rust")] {
        bed.go
            .start_actor(&peer.id, name, "counting")
            .await
            .success();
        let count = async || {
            let count = bed.rust.request(name, EchoMsg::new("count"));
            count.wait_for_name().await.unwrap().msg
        };
        assert_eq!(count().await, "0");
        let error = bed
            .rust
            .request(name, EchoMsg::new("pay"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::Application);
        assert_eq!(error.text(), "insufficient funds");
        assert!(error.may_have_executed());
        assert_eq!(count().await, "1");
        let failed = bed.go.request(name, "pay").await;
        assert_eq!(failed.failure(), (2, "insufficient funds"));
        assert_eq!(count().await, "5");
    }
}
