//! Peers whose runtime is stalled by synchronous code, for less and for more than `max_stall`.
//! Times are real here, as the promises are about real time.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod bed;

use std::time::{Duration, Instant};

use actorgrid::{EchoMsg, Kind};
use bed::{BOUND, Bed, Peer, secs, token_of};

/// The time to live of the lease; its soft deadline is 3.33 s after a renewal.
const TTL: Duration = Duration::from_secs(5);

/// Starts a peer whose runtime may stall for this long.
fn serving(bed: &Bed, name: &str, max_stall: Duration) -> (Peer, String) {
    let (ttl, max_stall) = (
        format!("{}s", TTL.as_secs()),
        max_stall.as_millis().to_string(),
    );
    bed.serving(name, &ttl, &["--max-stall-ms", &max_stall])
}

/// Blocks the whole runtime of the peer that holds `h`; returns once it is blocked.
async fn block(bed: &Bed, peer: &Peer, time: Duration) -> Instant {
    order(bed, peer, format!("block {}", time.as_millis())).await
}

/// Orders `h` to block threads; returns once they are blocked.
async fn order(bed: &Bed, peer: &Peer, text: String) -> Instant {
    let from = bed.transcript.len();
    let client = bed.client.clone();
    // The answer arrives only when the runtime continues.
    tokio::spawn(async move {
        let asked = client.request("h", EchoMsg::new(text)).deadline(secs(60));
        drop(asked.send().await);
    });
    let blocked = tokio::task::block_in_place(|| peer.wait_for_from(from, "BLOCK start", BOUND));
    eprintln!("{}", blocked.text);
    blocked.at
}

/// Waits for the first line of this peer that begins with `begins`, from index `from` on.
fn wait(peer: &Peer, from: usize, begins: &str) -> testbed::Line {
    tokio::task::block_in_place(|| peer.wait_for_from(from, begins, BOUND))
}

/// Returns the lines from index `from` on in which a peer changed its state or an actor ended.
fn changes(bed: &Bed, from: usize) -> Vec<testbed::Line> {
    let mut lines = bed.transcript.lines();
    lines.retain(|line| {
        line.index >= from && (line.text.starts_with("STATE") || line.text.contains("R stop"))
    });
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_is_stalled_for_half_of_max_stall_loses_nothing() {
    let bed = Bed::start().await;
    let max_stall = 2 * TTL;
    let (peer, id) = serving(&bed, "stalled", max_stall);
    bed.start_holder(&id, "h").await.unwrap();
    let token = token_of(&wait(&peer, 0, "HOLDER start"));
    let leads = wait(&peer, 0, "LEADER start");
    let from = leads.index + 1;

    let begun = block(&bed, &peer, max_stall / 2).await;
    // Beyond the soft deadline, and almost beyond the lease.
    tokio::time::sleep((max_stall / 2).saturating_sub(Duration::from_millis(200))).await;
    assert!(begun.elapsed() < max_stall / 2);
    let actors = bed.client.query(Kind::Actor).await.unwrap();
    let held = actors.iter().find(|actor| actor.name.as_str() == "h");
    assert_eq!(held.unwrap().token.to_string(), token.to_string());
    wait(&peer, from, "BLOCK stop");
    assert_eq!(bed.ask("h", "after").await.unwrap(), "after from h");

    // A lost lease would have been noticed by now.
    tokio::time::sleep(secs(1)).await;
    let changes = changes(&bed, from);
    assert!(changes.is_empty(), "{changes:?}");
    bed.check_no_stale_holder_was_accepted("h");
}

/// Stalls the runtime of a leader for this long, which must exceed `max_stall`.
async fn stalled_for(stall: Duration) {
    let bed = Bed::start().await;
    let max_stall = TTL;
    let (peer, id) = serving(&bed, "stalled", max_stall);
    bed.start_holder(&id, "h").await.unwrap();
    wait(&peer, 0, "LEADER start");
    let (other, _) = serving(&bed, "other", max_stall);
    let from = bed.transcript.len();

    let begun = block(&bed, &peer, stall).await;
    let leads = wait(&other, from, "LEADER start");
    let took = leads.at.duration_since(begun);
    eprintln!("a leader that is stalled for {stall:?} is replaced after {took:?}");
    assert!(took >= max_stall, "{took:?}");
    assert!(took <= max_stall + TTL + secs(2), "{took:?}");

    let ends = wait(&peer, from, "BLOCK stop");
    let fenced = wait(&peer, from, "STATE state=Fenced");
    assert_eq!(fenced.field("reason"), Some("runtime-stalled"));
    wait(&peer, from, "LEADER stop");
    let stopped = wait(&peer, from, "HOLDER stop");
    assert!(stopped.at.saturating_duration_since(ends.at) <= secs(1));
    wait(&peer, fenced.index, "STATE state=Serving");
    bed.start_holder(&id, "again").await.unwrap();
    assert_eq!(bed.ask("again", "x").await.unwrap(), "x from again");
    bed.check_no_stale_holder_was_accepted("h");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_is_stalled_for_longer_than_max_stall_is_fenced_and_rejoins() {
    stalled_for(TTL + secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stays_stalled_is_replaced_within_max_stall_and_its_ttl() {
    stalled_for(2 * TTL + secs(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_that_is_blocked_for_longer_than_max_stall_costs_nothing() {
    let bed = Bed::start().await;
    let max_stall = secs(2);
    let (peer, id) = serving(&bed, "busy", max_stall);
    bed.start_holder(&id, "h").await.unwrap();
    let from = wait(&peer, 0, "LEADER start").index + 1;
    // Blocked more than once, as the blocked worker drives the timers only most of the time.
    for _ in 0..2 {
        let blocked = bed.transcript.len();
        let text = format!("block-one {}", 2 * max_stall.as_millis());
        order(&bed, &peer, text).await;
        wait(&peer, blocked, "BLOCK stop");
        assert_eq!(bed.ask("h", "after").await.unwrap(), "after from h");
    }
    let changes = changes(&bed, from);
    assert!(changes.is_empty(), "{changes:?}");
    bed.check_no_stale_holder_was_accepted("h");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_stopped_for_a_moment_is_not_taken_for_stalled() {
    let bed = Bed::start().await;
    // The process is stopped for longer than `max_stall`, but for less than the soft deadline.
    let (mut peer, id) = serving(&bed, "paused", secs(1));
    bed.start_holder(&id, "h").await.unwrap();
    wait(&peer, 0, "LEADER start");
    let from = bed.transcript.len();
    for _ in 0..3 {
        peer.process.pause();
        tokio::time::sleep(secs(2)).await;
        peer.process.resume();
        assert_eq!(bed.ask("h", "after").await.unwrap(), "after from h");
        // Lets the lease be renewed between the stops.
        tokio::time::sleep(secs(2)).await;
    }
    let lines = bed.transcript.lines();
    let changed = |line: &&testbed::Line| line.index >= from && line.text.starts_with("STATE");
    assert!(!lines.iter().any(|line| changed(&line)), "{lines:?}");
}
