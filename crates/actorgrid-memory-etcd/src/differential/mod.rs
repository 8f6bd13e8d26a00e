//! Runs the same histories on a real etcd and on this server, and compares everything that a client
//! sees: replies, errors, revisions, and the events of watches.
//!
//! `make etcd-differential OPS=10000` runs random histories of so many steps; `SEED` chooses them.

mod endpoint;
mod generator;
mod observed_watch;
mod operation;
mod pair;
mod scripts;

use generator::Generator;
use operation::Reply;
use pair::{Pair, WatchPair};

/// The steps of one history. Each runs on a new etcd.
const STEPS_PER_HISTORY: u64 = 2_000;
/// The steps of the short form, in every run of the tests.
const SHORT: u64 = 600;
/// How many watches are open at the same time.
const MAX_WATCHES: usize = 6;
/// How often a watch is opened, and how often all are compared, in steps.
const WATCH_EVERY: u64 = 12;
const COMPARE_EVERY: u64 = 100;

#[tokio::test]
async fn random_histories_agree() {
    let setting = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok())
    };
    let steps = setting("ETCD_DIFFERENTIAL_OPS").unwrap_or(SHORT);
    let first = setting("ETCD_DIFFERENTIAL_SEED").unwrap_or(1);
    let mut done = 0;
    for seed in first.. {
        let count = STEPS_PER_HISTORY.min(steps - done);
        history(seed, count).await;
        done += count;
        println!("seed {seed}: {done} of {steps} steps agree");
        if done == steps {
            return;
        }
    }
}

async fn history(seed: u64, steps: u64) {
    let mut pair = Pair::start().await;
    let mut generator = Generator::new(seed);
    let mut watches: Vec<WatchPair> = Vec::new();
    for step in 1..=steps {
        let context = format!("seed {seed}, step {step}");
        let operation = generator.operation();
        let reply = pair.run(&operation, &context).await;
        if let Some(revision) = reply.as_ref().and_then(revision_of) {
            generator.revision = generator.revision.max(revision);
        }
        if step % WATCH_EVERY == 0 {
            if watches.len() == MAX_WATCHES {
                let mut dropped = watches.swap_remove(generator.below(MAX_WATCHES));
                dropped.compare(generator.revision, &context).await;
            }
            let mut watch = pair.watch(&generator.watch()).await;
            // Before a compaction can overtake it: etcd lets a watch catch up in the background.
            if watch.compare(generator.revision, &context).await {
                watches.push(watch);
            }
        }
        if step % COMPARE_EVERY == 0 || step == steps {
            let mut open = Vec::new();
            for mut watch in watches {
                if watch.compare(generator.revision, &context).await {
                    open.push(watch);
                }
            }
            watches = open;
        }
    }
    drop(watches);
}

/// Returns the revision after a step.
fn revision_of(reply: &Reply) -> Option<i64> {
    let header = match reply {
        Reply::Range(reply) => &reply.header,
        Reply::Put(reply) => &reply.header,
        Reply::DeleteRange(reply) => &reply.header,
        Reply::Txn(reply) => &reply.header,
        Reply::Compact(reply) => &reply.header,
        Reply::Grant(reply) => &reply.header,
        Reply::Revoke(reply) => &reply.header,
        Reply::KeepAlive(reply) => &reply.header,
        Reply::TimeToLive(reply) => &reply.header,
        Reply::Leases(_) => return None,
    };
    header.as_ref().map(|header| header.revision)
}
