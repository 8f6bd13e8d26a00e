//! An outage of etcd: for a moment, and for longer than the time to live of a lease.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod bed;

use std::time::{Duration, Instant};

use bed::{BOUND, Bed, secs, token_of};

#[tokio::test(flavor = "multi_thread")]
async fn four_seconds_without_etcd_change_nothing() {
    let mut bed = Bed::start().await;
    let (peer, id) = bed.serving("peer", "15s", &[]);
    bed.start_holder(&id, "h").await.unwrap();
    bed.ask("h", "warm").await.unwrap();
    let from = bed.transcript.len();
    for round in 0..2 {
        bed.etcd.pause();
        let until = Instant::now() + secs(4);
        while Instant::now() < until {
            let answer = bed
                .client
                .request("h", actorgrid::EchoMsg::new("x"))
                .deadline(secs(1))
                .await;
            assert_eq!(answer.unwrap().msg, "x from h", "round {round}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bed.etcd.resume();
        tokio::time::sleep(secs(12)).await;
    }
    let lines = bed.transcript.lines();
    let changed = |line: &&testbed::Line| {
        line.index >= from && (line.text.starts_with("STATE") || line.text.contains(" stop "))
    };
    assert!(!lines.iter().any(|line| changed(&line)), "{lines:?}");
    drop(peer);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_seconds_without_etcd_fence_in_time_and_the_peer_rejoins() {
    let mut bed = Bed::start().await;
    let (mut peer, id) = bed.serving("peer", "10s", &[]);
    bed.start_holder(&id, "h").await.unwrap();
    let old = token_of(&peer.wait_for("HOLDER start", BOUND));
    let from = bed.transcript.len();
    bed.etcd.kill();
    let killed = Instant::now();
    let ended = tokio::task::block_in_place(|| peer.wait_for_from(from, "HOLDER stop", BOUND));
    let took = ended.at.duration_since(killed);
    eprintln!("fenced {took:?} after etcd was killed");
    assert!(took <= secs(9), "{took:?}");
    tokio::time::sleep(secs(20).saturating_sub(killed.elapsed())).await;

    let from = bed.transcript.len();
    let back = Instant::now();
    bed.etcd.restart();
    let serving =
        tokio::task::block_in_place(|| peer.wait_for_from(from, "STATE state=Serving", BOUND));
    let took = serving.at.duration_since(back);
    eprintln!("rejoined {took:?} after etcd came back");
    assert!(took <= secs(10), "{took:?}");
    tokio::task::block_in_place(|| peer.wait_for_from(from, "LEADER start", BOUND));
    bed.start_holder(&id, "h").await.unwrap();
    let new = token_of(&peer.wait_for_from(from, "HOLDER start", BOUND));
    assert!(new.revision > old.revision);
    assert!(
        peer.process.ended().is_none(),
        "the peer's process has ended"
    );
}
