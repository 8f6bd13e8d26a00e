//! Three members of etcd, one of which is frozen, and then killed.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actorgrid::{ActorStart, Client, EchoMsg, Kind, Registry, RequestError};
use testbed::{EtcdCluster, Process};

const BOUND: Duration = Duration::from_secs(40);
/// How long a member is away each time.
const AWAY: Duration = Duration::from_secs(10);
/// Errors that begin within this time after the fault are allowed.
const GRACE: Duration = Duration::from_secs(3);
const PACE: Duration = Duration::from_millis(50);

/// Failed operations: which one, when it began and ended after the fault, and its error.
type Errors = Vec<(&'static str, Duration, Duration, RequestError)>;

/// Sends requests, lookups, starts and queries steadily and concurrently until the time is over.
async fn load(client: Client, peer: String, fault: Instant, round: String) -> Errors {
    let client = Arc::new(client);
    let steady = |what: &'static str| {
        let (client, peer, round) = (Arc::clone(&client), peer.clone(), round.clone());
        tokio::spawn(async move {
            let mut errors = Errors::new();
            let mut number = 0;
            while fault.elapsed() < AWAY {
                let began = fault.elapsed();
                let outcome = match what {
                    "request" => {
                        let request = client.request("h", EchoMsg::new("x"));
                        request.await.map(drop)
                    }
                    "lookup" => {
                        let name = format!("h-{round}-{}", number / 2);
                        client
                            .find(Kind::Mailbox, &name.parse().unwrap())
                            .await
                            .map(drop)
                    }
                    "start" => {
                        let name = format!("h-{round}-{number}");
                        let start = client.start(peer.as_str(), ActorStart::new(name, "holder"));
                        start.await.map(drop)
                    }
                    _ => client.query(Kind::Peer).await.map(drop),
                };
                if let Err(error) = outcome {
                    errors.push((what, began, fault.elapsed(), error));
                }
                number += 1;
                tokio::time::sleep(PACE).await;
            }
            eprintln!("{round}: {number} times {what}");
            errors
        })
    };
    let tasks = ["request", "lookup", "start", "query"].map(steady);
    let mut errors = Errors::new();
    for task in tasks {
        errors.extend(task.await.unwrap());
    }
    errors
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_frozen_or_killed_is_not_noticed_after_three_seconds() {
    let mut etcd = tokio::task::spawn_blocking(|| EtcdCluster::start(3))
        .await
        .unwrap();
    let url = etcd.url();
    let mut peer = Process::start(Command::new(env!("CARGO_BIN_EXE_grid-peer")).args([
        "--registry",
        &url,
        "--lease-ttl",
        "15s",
    ]));
    let ready = tokio::task::block_in_place(|| {
        peer.wait_for_line(|line| line.text.starts_with("READY"), BOUND)
    });
    let id = ready.field("peer").unwrap().to_owned();
    let connect = async || Client::new("acceptance", Registry::connect(&url).await.unwrap());
    let first = connect().await;
    let start = ActorStart::new("h", "holder");
    first.start(id.as_str(), start).await.unwrap();

    let mut late = Vec::new();
    // Each process prefers a different member, and one of the members leads: each of them is lost
    // in turn.
    for member in 0..3 {
        for killed in [false, true] {
            let idle = connect().await;
            tokio::time::sleep(GRACE).await;
            let lost = &mut etcd.members_mut()[member];
            if killed {
                lost.kill();
            } else {
                lost.pause();
            }
            let round = format!("{member}-{killed}");
            let errors = load(idle, id.clone(), Instant::now(), round).await;
            for (what, began, ended, error) in errors {
                let text =
                    format!("{member} {killed}: {what} from {began:?} to {ended:?}: {error}");
                eprintln!("{text}");
                if began >= GRACE {
                    late.push(text);
                }
            }
            tokio::task::block_in_place(|| {
                if killed {
                    lost.restart();
                } else {
                    lost.resume();
                    lost.wait_until_healthy();
                }
            });
        }
    }
    assert!(late.is_empty(), "{late:#?}");
    let lines = peer.lines();
    let fenced = lines.iter().any(|line| line.text.contains("reason="));
    assert!(!fenced, "{lines:?}");
    peer.terminate();
    assert!(tokio::task::block_in_place(|| peer.wait(BOUND)).success());
}
