//! Every error that one of our peers can produce, as a Go client reads it: code and text.
//!
//! Not covered:
//!
//! - `grid: context finished`: the Go client's own timer fires first, with code 4 (which is
//!   tested);
//! - `grid: def not registered (nil def)` and `grid: nil actor`: a constructor here returns an
//!   actor or an error;
//! - `registry: failed registration`: our peers report a lost race as a name that is taken;
//! - the wrong token: a Go client sends none;
//! - a limit on starts under way: rejected in the same way as the limit on actors, which is tested.

use interop::{Bed, Command, Kind, NAMESPACE, Peer, Reply};

const ECHO: &str = "github.com/lytics/grid/v3/EchoMsg";
const UNKNOWN: i32 = 2;

/// Makes one call to a peer, without the retries of the Go library.
async fn process(bed: &Bed, peer: &Peer, mailbox: &str, type_name: &str, text: &str) -> Reply {
    bed.go
        .ask(Command {
            op: "process",
            address: peer.address(),
            to: mailbox.to_owned(),
            type_name: type_name.to_owned(),
            text: text.to_owned(),
            ..Command::default()
        })
        .await
}

/// Makes one call with these bytes, which are sent to the client as hexadecimal digits.
async fn process_bytes(bed: &Bed, peer: &Peer, bytes: &[u8]) -> Reply {
    bed.go
        .ask(Command {
            op: "process",
            address: peer.address(),
            hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            ..Command::default()
        })
        .await
}

/// Returns a delivery of these bytes as an `EchoMsg`. All lengths must be below 128.
fn delivery(mailbox: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, field) in [
        (0x12, data),
        (0x1a, ECHO.as_bytes()),
        (0x22, mailbox.as_bytes()),
    ] {
        bytes.extend([tag, u8::try_from(field.len()).unwrap()]);
        bytes.extend(field);
    }
    bytes
}

fn mailbox(name: &str) -> String {
    format!("{NAMESPACE}.mailbox.{name}")
}

pub(crate) async fn a_go_client_reads_them(bed: &Bed) {
    let peer = bed
        .serving(Kind::Rust, "rust-fails", &["--max-actors", "7"])
        .await;
    for (name, actor_type) in [
        ("r-echo", "echo"),
        ("r-error", "error"),
        ("r-slow", "slow"),
        ("r-closing", "silent"),
        ("r-panicking", "silent"),
        ("r-silent", "silent"),
    ] {
        bed.go
            .start_actor(&peer.id, name, actor_type)
            .await
            .success();
    }
    refusals(bed, &peer).await;
    answers(bed, &peer).await;
    starts(bed, &peer).await;
    draining(bed, peer).await;
}

/// Requests that the peer rejects before an actor sees them.
async fn refusals(bed: &Bed, peer: &Peer) {
    let unknown_mailbox = (UNKNOWN, "grid: unknown mailbox");
    for receiver in [
        mailbox("r-nobody"),
        "elsewhere.mailbox.r-echo".to_owned(),
        String::new(),
    ] {
        let reply = process(bed, peer, &receiver, ECHO, "").await;
        assert_eq!(reply.failure(), unknown_mailbox, "{receiver:?}");
    }
    // Through the library, a request for an unregistered name fails in the client's own process.
    let reply = bed.go.request("r-nobody", "").await;
    assert_eq!(reply.failure(), (-1, "grid: unregistered mailbox"));
    // A mailbox that was closed, though its actor continues.
    let close = process(bed, peer, &mailbox("r-closing"), ECHO, "close").await;
    close.success();
    peer.wait_for("ACTOR closed").await;
    let reply = process(bed, peer, &mailbox("r-closing"), ECHO, "").await;
    assert_eq!(reply.failure(), unknown_mailbox);

    let start = "github.com/lytics/grid/v3/ActorStart";
    for type_name in [start, "my/Own", ""] {
        let reply = process(bed, peer, &mailbox("r-echo"), type_name, "").await;
        assert_eq!(
            reply.failure(),
            (UNKNOWN, "codec: unregistered message type")
        );
    }
    for data in [&b"\x0a\x05abc"[..], b"\x0a\x01\xff"] {
        let reply = process_bytes(bed, peer, &delivery(&mailbox("r-echo"), data)).await;
        let text = "proto: cannot parse invalid wire-format data";
        assert_eq!(reply.failure(), (UNKNOWN, text));
    }
    let reply = process_bytes(bed, peer, b"\x12\x05abc").await;
    let (code, text) = reply.failure();
    assert_eq!(code, 13);
    let begin = "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data";
    assert!(text.starts_with(begin), "{text}");

    // One request is being handled and one is queued: the mailbox is full.
    let slow = mailbox("r-slow");
    let taken = async || {
        loop {
            let reply = process(bed, peer, &slow, ECHO, "3000").await;
            if reply.error.is_none() {
                return;
            }
            assert_eq!(reply.failure(), (UNKNOWN, "grid: receiver busy"));
        }
    };
    let ((), (), refused) = tokio::join!(taken(), taken(), refused(bed, peer));
    assert_eq!(refused.failure(), (UNKNOWN, "grid: receiver busy"));
}

/// Returns the first rejection by the slow actor's mailbox.
async fn refused(bed: &Bed, peer: &Peer) -> Reply {
    loop {
        let command = Command {
            op: "process",
            address: peer.address(),
            to: mailbox("r-slow"),
            type_name: ECHO.to_owned(),
            text: "0".to_owned(),
            timeout_ms: 100,
            ..Command::default()
        };
        let reply = bed.go.ask(command).await;
        // If this is queued before the other requests, it is answered or reaches its deadline.
        if reply.error.as_ref().is_some_and(|error| error.code != 4) {
            return reply;
        }
    }
}

/// Errors that actors answer with, and requests that they do not answer.
async fn answers(bed: &Bed, peer: &Peer) {
    let fails = async |text: &str| process(bed, peer, &mailbox("r-error"), ECHO, text).await;
    for text in [
        "insufficient funds",
        "grid: receiver busy",
        "100 %, ümläut\nline",
    ] {
        assert_eq!(fails(text).await.failure(), (UNKNOWN, text));
    }
    // The code that an actor gives its error.
    for (name, code) in [
        ("cancelled", 1),
        ("deadline-exceeded", 4),
        ("not-found", 5),
        ("unavailable", 14),
        ("unauthenticated", 16),
    ] {
        for text in ["no such account", "grid: receiver busy"] {
            let reply = fails(&format!("code:{name}:{text}")).await;
            assert_eq!(reply.failure(), (code, text));
        }
    }
    // The same through the library, which retries the request and then returns the error unchanged.
    let reply = bed.go.request("r-error", "code:not-found:no").await;
    assert_eq!(reply.failure(), (5, "no"));
    let long = fails("long:60000").await;
    assert_eq!(
        (long.failure().0, long.failure().1.len()),
        (UNKNOWN, 60_000)
    );
    // Our peers truncate error texts at 64 KiB.
    assert_eq!(fails("long:70000").await.failure().1.len(), 65_536);

    let no_reply = (UNKNOWN, "grid: no reply");
    let dropped = process(bed, peer, &mailbox("r-silent"), ECHO, "drop").await;
    assert_eq!(dropped.failure(), no_reply);
    // A panic ends the actor: the request that it kept and the one that caused the panic are
    // answered at once.
    let panicking = mailbox("r-panicking");
    let kept = process(bed, peer, &panicking, ECHO, "keep");
    let panicked = process(bed, peer, &panicking, ECHO, "panic");
    let (kept, panicked) = tokio::join!(kept, panicked);
    assert_eq!(panicked.failure(), no_reply);
    // The kept request is answered if it arrived before the panic, and rejected if after.
    let text = kept.failure().1;
    assert!(
        text == "grid: no reply" || text == "grid: unknown mailbox",
        "{text}"
    );

    // The client's own timer.
    let command = Command {
        op: "request",
        to: "r-silent".to_owned(),
        text: "keep".to_owned(),
        timeout_ms: 300,
        ..Command::default()
    };
    assert_eq!(bed.go.ask(command).await.failure().0, 4);
}

async fn starts(bed: &Bed, peer: &Peer) {
    let start = async |name, actor_type, data| {
        let reply = bed.go.start_actor_with(&peer.id, name, actor_type, data);
        let reply = reply.await;
        let (code, text) = reply.failure();
        assert_eq!(code, UNKNOWN, "{text}");
        text.to_owned()
    };
    for (name, actor_type, data, text) in [
        (
            "r-new",
            "nosuchdef",
            "",
            "grid: def not registered: type=nosuchdef",
        ),
        ("r-new", "fails", "out of tapes", "out of tapes"),
        (
            "bad.name",
            "echo",
            "",
            "grid: invalid name: namespace=interop name=bad.name",
        ),
        (
            "",
            "echo",
            "",
            "grid: invalid name: namespace=interop name=",
        ),
        (
            "r-new",
            "bad.type",
            "",
            "grid: invalid actor type: type=bad.type",
        ),
        (
            "bad.name",
            "bad.type",
            "",
            "grid: invalid actor type: type=bad.type",
        ),
        (
            "r-echo",
            "echo",
            "",
            "registering actor \"interop.actor.r-echo\": registry: already registered",
        ),
    ] {
        assert_eq!(start(name, actor_type, data).await, text);
    }
    // The actor that was already running continues.
    assert_eq!(
        bed.go.request("r-echo", "still").await.success().text,
        "still"
    );
    // Five of the six actors are left, so two more can be started.
    bed.go
        .start_actor(&peer.id, "r-lingering", "lingering")
        .await
        .success();
    bed.go
        .start_actor(&peer.id, "r-last", "idle")
        .await
        .success();
    assert_eq!(
        start("r-one-too-many", "idle", "").await,
        "grid: receiver busy"
    );
}

/// Tests a peer that was asked to stop, and whose actors have not ended yet.
async fn draining(bed: &Bed, mut peer: Peer) {
    peer.process.terminate();
    peer.wait_for("LINGERING").await;
    for name in ["r-echo", peer.id.as_str()] {
        let reply = process(bed, &peer, &mailbox(name), ECHO, "").await;
        assert_eq!(reply.failure(), (UNKNOWN, "grid: unknown mailbox"));
    }
    peer.process.kill();
}
