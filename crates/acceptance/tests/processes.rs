//! Processes that are stopped, killed, paused and restarted on a real etcd. Times are real here
//! because the promises are about real time.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod bed;

use std::collections::HashMap;

use actorgrid::{Kind, RequestErrorKind};
use bed::{BOUND, Bed, Peer, rounds, secs, token_of};
use futures_util::future::join_all;
use testbed::Verdict;

/// Returns the peer that leads, according to the last such line of the transcript.
fn leading(bed: &Bed, peers: &HashMap<String, Peer>) -> String {
    let mut last = None;
    for line in bed.transcript.lines() {
        if line.text.starts_with("LEADER start") && peers.contains_key(&*line.process) {
            last = Some(line.process.to_string());
        }
    }
    last.unwrap()
}

async fn leaders_are_replaced(kill: bool) {
    let bed = Bed::start().await;
    let mut peers = HashMap::new();
    for i in 0..3 {
        let name = format!("p{i}");
        peers.insert(name.clone(), bed.serving(&name, "5s", &[]).0);
    }
    let first = bed
        .transcript
        .wait_for_line(|line| line.text.starts_with("LEADER start"), BOUND);
    let mut token: i64 = first.field("token").unwrap().parse().unwrap();
    let mut taken = Vec::new();
    for round in 0..rounds() {
        let name = leading(&bed, &peers);
        let mut old = peers.remove(&name).unwrap();
        let from = bed.transcript.len();
        let begun = std::time::Instant::now();
        if kill {
            old.process.kill();
        } else {
            old.process.terminate();
        }
        let next = bed.transcript.wait_for_line_from(
            from,
            |line| line.text.starts_with("LEADER start") && *line.process != *name,
            BOUND,
        );
        let (since, bound) = if kill {
            (next.at.duration_since(begun), secs(7))
        } else {
            let stop = old.wait_for_from(from, "LEADER stop", BOUND);
            (next.at.saturating_duration_since(stop.at), secs(1))
        };
        taken.push(since);
        assert!(since <= bound, "round {round}: {since:?}");
        let greater: i64 = next.field("token").unwrap().parse().unwrap();
        assert!(greater > token);
        token = greater;
        old.process.wait(BOUND);
        let name = format!("r{round}");
        peers.insert(name.clone(), bed.serving(&name, "5s", &[]).0);
    }
    eprintln!(
        "a leader that is {} is replaced within {taken:?}",
        if kill { "killed" } else { "stopped" }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_stopped_is_replaced_within_a_second() {
    leaders_are_replaced(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_is_replaced_within_its_ttl_and_two_seconds() {
    leaders_are_replaced(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_starts_over_three_processes_one_runs() {
    let bed = Bed::start().await;
    let peers: Vec<(Peer, String)> = (0..3)
        .map(|i| bed.serving(&format!("p{i}"), "15s", &[]))
        .collect();
    let starts = (0..1000).map(|i| bed.start_holder(&peers[i % 3].1, "one"));
    let outcomes = join_all(starts).await;
    let one = bed.client.query(Kind::Actor).await.unwrap();
    let one = one
        .into_iter()
        .find(|actor| actor.name.as_str() == "one")
        .unwrap();
    let mut won = 0;
    for outcome in outcomes {
        match outcome {
            Ok(()) => won += 1,
            Err(error) => {
                assert_eq!(error.kind(), RequestErrorKind::AlreadyRunning, "{error:?}");
                assert_eq!(error.holder(), Some(&one.peer));
                assert_eq!(error.token(), Some(one.token));
            }
        }
    }
    assert_eq!(won, 1);
    let started = bed.transcript.lines();
    let started = started
        .iter()
        .filter(|line| line.text.starts_with("HOLDER start"));
    assert_eq!(started.count(), 1);
}

/// Pauses a process for this long, and lets it continue.
async fn paused(seconds: u64) {
    let bed = Bed::start().await;
    let (mut paused, id) = bed.serving("paused", "5s", &[]);
    let (other, other_id) = bed.serving("other", "5s", &[]);
    bed.start_holder(&id, "h").await.unwrap();
    let old = token_of(&paused.wait_for("HOLDER start", BOUND));
    assert_eq!(bed.ask("h", "before").await.unwrap(), "before from h");
    // The answer is sent before its line is printed, which must not count as one after the pause.
    paused.wait_for("ANSWER name=h text=before", BOUND);

    paused.process.pause();
    let client = bed.client.clone();
    let during = tokio::spawn(async move {
        let request = client.request("h", actorgrid::EchoMsg::new("during"));
        request.deadline(secs(30)).await
    });
    tokio::time::sleep(secs(seconds)).await;
    let expired = bed.client.query(Kind::Actor).await.unwrap();
    let expired = !expired.iter().any(|actor| actor.name.as_str() == "h");
    if expired {
        bed.start_holder(&other_id, "h").await.unwrap();
        let new = token_of(&other.wait_for("HOLDER start", BOUND));
        assert!(new.revision > old.revision);
        // The new holder has shown its token by now.
        while bed
            .resource
            .greatest("h")
            .is_none_or(|token| token.revision < new.revision)
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(matches!(
            bed.resource.accept("h", old),
            Verdict::Stale { .. }
        ));
    }

    let from = bed.transcript.len();
    let begun = std::time::Instant::now();
    paused.process.resume();
    if expired {
        let ended = paused.wait_for_from(from, "HOLDER stop", BOUND);
        let took = ended.at.duration_since(begun);
        eprintln!("the actor of a process that was stopped for {seconds} s is gone after {took:?}");
        assert!(took <= std::time::Duration::from_millis(200), "{took:?}");
        paused.wait_for_from(from, "STATE state=Serving", BOUND);
        // The peer serves, and starts actors again.
        bed.start_holder(&id, "again").await.unwrap();
        assert_eq!(bed.ask("again", "x").await.unwrap(), "x from again");
    }
    let outcome = during.await.unwrap();
    tokio::time::sleep(secs(1)).await;
    let lines = bed.transcript.lines();
    let mine = |line: &&testbed::Line| *line.process == *"paused" && line.index >= from;
    if expired {
        let admitted = lines
            .iter()
            .filter(mine)
            .any(|line| line.text.contains("text=during"));
        assert!(!admitted, "a request was admitted after the pause");
        let acked = lines
            .iter()
            .filter(mine)
            .any(|line| line.text.contains("name=h") && line.text.contains("result=ok"));
        assert!(!acked);
    }
    eprintln!("a request during the pause: {outcome:?}");
    bed.check_no_stale_holder_was_accepted("h");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_stopped_for_three_ttls_does_nothing_that_counts() {
    paused(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_stopped_for_almost_its_ttl_never_makes_two_holders() {
    paused(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_taken_again_after_its_peer() {
    let bed = Bed::start().await;
    let (mut first, id) = bed.serving("first", "5s", &[]);
    let address = id
        .rsplit_once('-')
        .map(|(_, port)| format!("127.0.0.1:{port}"))
        .unwrap();
    let options = ["--address", address.as_str()];

    first.process.terminate();
    assert!(first.process.wait(BOUND).success());
    let begun = std::time::Instant::now();
    let (mut second, again) = bed.serving("second", "5s", &options);
    assert_eq!(again, id);
    assert!(begun.elapsed() < secs(2), "at once: {:?}", begun.elapsed());

    second.process.kill();
    second.process.wait(BOUND);
    let begun = std::time::Instant::now();
    let (third, again) = bed.serving("third", "5s", &options);
    assert_eq!(again, id);
    eprintln!(
        "the address of a killed peer is taken again after {:?}",
        begun.elapsed()
    );
    assert!(begun.elapsed() <= secs(7), "{:?}", begun.elapsed());

    // The same address from another port: the peer is rejected, and the holder is not disturbed.
    bed.start_holder(&id, "h").await.unwrap();
    let fourth = bed.peer("fourth", "5s", &["--advertise", address.as_str()]);
    let failed = fourth.wait_for("FAILED", BOUND);
    assert!(
        failed.text.contains("is held by another peer"),
        "{}",
        failed.text
    );
    assert_eq!(bed.ask("h", "x").await.unwrap(), "x from h");
    let lines = bed.transcript.lines();
    let state = |line: &&testbed::Line| *line.process == *"third" && line.text.starts_with("STATE");
    let last = lines.iter().rev().find(state).unwrap();
    assert_eq!(last.text, "STATE state=Serving");
    drop(third);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_or_key_fences_within_a_second_and_the_peer_rejoins() {
    let bed = Bed::start().await;
    let (peer, id) = bed.serving("peer", "15s", &[]);
    let port = id.rsplit_once('-').unwrap().1;
    let keys = [
        format!("registry.uniq-lock.127.0.0.1:{port}"),
        format!("acceptance.epoch.{id}"),
        format!("acceptance.peer.{id}"),
        format!("acceptance.mailbox.{id}"),
    ];
    for what in keys.iter().map(String::as_str).chain(["lease"]) {
        bed.start_holder(&id, "h").await.unwrap();
        let from = bed.transcript.len();
        let begun = std::time::Instant::now();
        if what == "lease" {
            let leases = bed.etcd.ctl(["lease", "list"]);
            let lease = leases.lines().last().unwrap().trim();
            bed.etcd.ctl(["lease", "revoke", lease]);
        } else {
            bed.etcd.ctl(["del", what]);
        }
        let fenced = peer.wait_for_from(from, "STATE state=", BOUND);
        let took = fenced.at.duration_since(begun);
        eprintln!("without its {what} the peer is fenced after {took:?}");
        assert!(took <= secs(1), "{what}: {took:?}");
        peer.wait_for_from(from, "HOLDER stop", BOUND);
        peer.wait_for_from(from, "STATE state=Serving", BOUND);
    }
}
