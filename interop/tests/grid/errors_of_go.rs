//! Every error that a Go peer can produce, as our client reads it: its kind, and whether the
//! request may have been executed.
//!
//! Not covered:
//!
//! - `registry: failed registration`: needs two starts of one name at the same instant on two Go
//!   peers; the table of the unit tests contains its text;
//! - `grid: context finished`: is sent when the caller's deadline has passed, but here that ends
//!   the call first (and is reported as the deadline that it is).

use std::time::Duration;

use actorgrid::RequestErrorKind as Failure;
use actorgrid::{ActorStart, Code, EchoMsg, Kind as Registered, Name, Payload, RequestError};
use interop::{Bed, Kind, Peer, secs};

const ECHO: &str = "github.com/lytics/grid/v3/EchoMsg";

pub(crate) async fn our_client_reads_them(bed: &Bed) {
    let peer = bed.serving(Kind::Go, "go-fails", &[]).await;
    for (name, actor_type) in [
        ("g-echo", "echo"),
        ("g-error", "error"),
        ("g-passing", "counting"),
        ("g-slow", "slow"),
        ("g-silent", "silent"),
        ("g-gone", "echo"),
    ] {
        let start = ActorStart::new(name, actor_type);
        bed.rust.start(peer.id.as_str(), start).await.unwrap();
        let mailbox = bed.rust.request(name, EchoMsg::new("1"));
        let mailbox = mailbox.wait_for_name().deadline(secs(1)).await;
        assert!(mailbox.is_ok() || ["g-error", "g-passing", "g-silent"].contains(&name));
    }
    refusals(bed).await;
    answers(bed).await;
    starts(bed, &peer).await;
}

#[track_caller]
fn check(error: &RequestError, kind: Failure, may_have_executed: bool) {
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(error.may_have_executed(), may_have_executed, "{error}");
}

async fn refusals(bed: &Bed) {
    // A mailbox that has gone from its address: the client that cached it looks it up again.
    let gone = bed.rust.request("g-gone", EchoMsg::new("")).await;
    gone.unwrap();
    bed.go.request("g-gone", "leave").await.success();
    let error = bed.rust.request("g-gone", EchoMsg::new("")).await;
    check(&error.unwrap_err(), Failure::UnknownName, false);

    let message = Payload::new("my/Own", Vec::new());
    let error = bed.rust.request("g-echo", message).await.unwrap_err();
    check(&error, Failure::UnknownMessage, true);
    for bytes in [&b"\x0a\x05abc"[..], b"\x0a\x01\xff"] {
        let message = Payload::new(ECHO, bytes);
        let error = bed.rust.request("g-echo", message).await.unwrap_err();
        check(&error, Failure::InvalidMessage, true);
    }

    // One request is being handled, one is queued, and the third is rejected until its deadline.
    let slow = |millis: &str, deadline| {
        let request = bed.rust.request("g-slow", EchoMsg::new(millis));
        request.deadline(deadline).send()
    };
    let first = slow("4000", secs(20));
    let second = slow("0", secs(20));
    let third = async {
        for _ in 0..20 {
            // A request that is queued before the others may have been executed, and on a slow
            // machine the deadline can pass during the last try: in either case, try again.
            let error = slow("0", Duration::from_millis(500)).await.err();
            let busy = |error: &RequestError| error.kind() == Failure::Busy;
            if let Some(error) = error.filter(busy) {
                return error;
            }
        }
        panic!("the mailbox of a busy Go actor is never full");
    };
    let (first, second, third) = tokio::join!(first, second, third);
    first.unwrap();
    second.unwrap();
    check(&third, Failure::Busy, false);
}

async fn answers(bed: &Bed) {
    let fails = async |text: &str| {
        let request = bed.rust.request("g-error", EchoMsg::new(text));
        request.deadline(secs(5)).await.unwrap_err()
    };
    let own = |code| (Failure::Application, Some(code));
    for (asked, (kind, code), text) in [
        (
            "insufficient funds",
            own(Code::Unknown),
            "insufficient funds",
        ),
        (
            "status:5:no such account",
            own(Code::NotFound),
            "no such account",
        ),
        (
            "status:14:connection refused",
            own(Code::Unavailable),
            "connection refused",
        ),
        // An actor passes on the rejection of its own request, under another code.
        (
            "status:14:grid: receiver busy",
            own(Code::Unavailable),
            "grid: receiver busy",
        ),
        ("status:16:", own(Code::Unauthenticated), ""),
        ("canceled", own(Code::Cancelled), "context canceled"),
        (
            "deadline",
            own(Code::DeadlineExceeded),
            "context deadline exceeded",
        ),
        ("grid: no reply", (Failure::NoReply, None), "grid: no reply"),
        (
            "wrapped: grid: receiver busy",
            own(Code::Unknown),
            "wrapped: grid: receiver busy",
        ),
        (
            "100 %, ümläut\nline",
            own(Code::Unknown),
            "100 %, ümläut\nline",
        ),
    ] {
        let error = fails(asked).await;
        check(&error, kind, true);
        assert_eq!((error.text(), error.code()), (text, code));
    }
    let long = fails("long:70000").await;
    check(&long, Failure::Application, true);
    // Truncated at 64 KiB.
    assert_eq!(long.text().len(), 65_536);
    // An error that an actor passes on word for word cannot be told from a rejection by its peer.
    // Callers that do not want it repeated must say so.
    check(&fails("busy").await, Failure::Busy, false);
    let count = async || {
        let count = bed.rust.request("g-passing", EchoMsg::new("count"));
        count.wait_for_name().await.unwrap().msg
    };
    let before = count().await;
    let passed = bed.rust.request("g-passing", EchoMsg::new("busy")).once();
    check(&passed.await.unwrap_err(), Failure::Busy, false);
    assert_eq!((before.as_str(), count().await.as_str()), ("1", "2"));

    // A Go actor that never answers, or panics, keeps its caller waiting.
    for text in ["keep", "panic"] {
        let request = bed.rust.request("g-silent", EchoMsg::new(text));
        let error = request.deadline(Duration::from_millis(500)).await;
        check(&error.unwrap_err(), Failure::DeadlineExceeded, true);
    }
}

async fn starts(bed: &Bed, peer: &Peer) {
    let start = async |name: &str, actor_type: &str, data: &'static str| {
        let start = ActorStart::new(name, actor_type).data(data);
        bed.rust.start(peer.id.as_str(), start).await.unwrap_err()
    };
    for (name, actor_type, data, kind, text) in [
        (
            "g-new",
            "nosuchdef",
            "",
            Failure::UnknownActorType,
            "grid: def not registered: type=nosuchdef",
        ),
        (
            "g-new",
            "nildef",
            "",
            Failure::UnknownActorType,
            "grid: def not registered (nil def): type=nildef",
        ),
        (
            "g-new",
            "fails",
            "out of tapes",
            Failure::StartFailed,
            "out of tapes",
        ),
        ("g-new", "nil", "", Failure::StartFailed, "grid: nil actor"),
        (
            "bad.name",
            "echo",
            "",
            Failure::InvalidName,
            "grid: invalid name: namespace=interop name=bad.name",
        ),
        (
            "g-new",
            "bad.type",
            "",
            Failure::InvalidName,
            "grid: invalid actor type: type=bad.type",
        ),
    ] {
        let error = start(name, actor_type, data).await;
        check(&error, kind, true);
        assert_eq!(error.text(), text);
    }
    // A name that is taken on another peer. (On the same peer, a Go peer deletes the registration
    // of the running actor: see docs/from-go.md.)
    let other = bed.serving(Kind::Rust, "rust-holds", &[]).await;
    let taken = ActorStart::new("g-taken", "idle");
    bed.rust.start(other.id.as_str(), taken).await.unwrap();
    let error = start("g-taken", "echo", "").await;
    check(&error, Failure::AlreadyRunning, true);
    assert_eq!(
        error.text(),
        "registering actor \"interop.actor.g-taken\": registry: already registered"
    );
    let name = Name::new("g-taken").unwrap();
    let there = bed.rust.find(Registered::Actor, &name).await;
    assert_eq!(there.unwrap().unwrap().peer.as_str(), other.id);
}
