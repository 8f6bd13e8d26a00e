//! Many large requests at once over one connection of grpc-go, without the Go library's repeats.

use interop::{Bed, Command, Kind, NAMESPACE, Outcome, Peer};

use crate::requests::{ECHO, longest_text};

const MIB: usize = 1024 * 1024;

/// Returns a burst to a mailbox of the peer.
fn burst(peer: &Peer, mailbox: &str) -> Command {
    Command {
        op: "burst",
        address: peer.address(),
        to: format!("{NAMESPACE}.mailbox.{mailbox}"),
        type_name: ECHO.to_owned(),
        timeout_ms: 60_000,
        ..Command::default()
    }
}

/// Runs once with the default windows of grpc-go, which grow with the traffic, and once with small
/// fixed ones.
pub(crate) async fn all_of_80_large_requests_are_answered(bed: &Bed) {
    let peer = bed.serving(Kind::Rust, "rust-burst", &[]).await;
    let name = "echoes-bursts";
    bed.go.start_actor(&peer.id, name, "echo").await.success();
    for window in [0, 64 * 1024] {
        let reply = bed.go.ask(Command {
            size: longest_text(name),
            count: 80,
            window,
            ..burst(&peer, name)
        });
        let outcomes = reply.await.success().outcomes;
        let [
            Outcome {
                count: 80,
                error: None,
                slowest_ms,
                ..
            },
        ] = outcomes[..]
        else {
            panic!("not all were answered: {outcomes:?}");
        };
        println!("       window {window}: the last of 80 answers came after {slowest_ms} ms");
    }
}

pub(crate) async fn requests_that_nobody_takes_are_answered_busy(bed: &Bed) {
    const COUNT: usize = 1000;
    /// With their envelopes, this many messages fit into three quarters of a connection's 64 MiB;
    /// the last quarter is reserved for small messages.
    const QUEUED: usize = 47;
    let peer = bed.serving(Kind::Rust, "rust-unread", &[]).await;
    let (unread, read) = ("unread", "read-beside");
    bed.go
        .start_actor(&peer.id, unread, "unread")
        .await
        .success();
    bed.go.start_actor(&peer.id, read, "echo").await.success();

    let before = peak_memory(&peer);
    let reply = bed.go.ask(Command {
        size: MIB,
        count: COUNT,
        close_after: COUNT - QUEUED,
        ..burst(&peer, unread)
    });
    let outcomes = reply.await.success().outcomes;
    let is_busy = |outcome: &&Outcome| {
        let error = outcome.error.as_ref();
        error.is_some_and(|error| (error.code, &*error.text) == (2, "grid: receiver busy"))
    };
    let Some(busy) = outcomes.iter().find(is_busy) else {
        panic!("none was answered busy: {outcomes:?}");
    };
    assert_eq!(busy.count, COUNT - QUEUED, "{outcomes:?}");
    // The queued requests stayed open until their connection was closed.
    let reply = bed.go.ask(Command {
        text: "hello".to_owned(),
        count: 1,
        timeout_ms: 5_000,
        ..burst(&peer, read)
    });
    let answers = reply.await.success().outcomes;
    let [
        Outcome {
            count: 1,
            error: None,
            slowest_ms,
            ..
        },
    ] = answers[..]
    else {
        panic!("a small request was not answered: {answers:?}");
    };
    let grown = (peak_memory(&peer) - before) / MIB;
    println!(
        "       the last of {} busy answers came after {} ms, and that of a small request \
         afterwards within {slowest_ms} ms; the peer grew by {grown} MiB",
        busy.count, busy.slowest_ms
    );
    assert!(grown < 300, "the peer grew by {grown} MiB");
}

/// Returns the peak memory of the peer so far, in bytes.
fn peak_memory(peer: &Peer) -> usize {
    let path = format!("/proc/{}/status", peer.process.id());
    let status = std::fs::read_to_string(path).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    peak.unwrap().trim().parse::<usize>().unwrap() * 1024
}
