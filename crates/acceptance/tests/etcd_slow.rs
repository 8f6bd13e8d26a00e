//! An etcd that answers late, under lookups whose callers do not wait for it.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actorgrid::{Client, EchoMsg, Registry, Server, ServerState};
use testbed::{Etcd, EtcdProxy, Fate, PartKind};
use tokio::time::MissedTickBehavior;

/// How long the proxy delays each answer of etcd.
const ETCD_DELAY: Duration = Duration::from_millis(700);
/// The deadline of each lookup, shorter than the delay.
const LOOKUP_DEADLINE: Duration = Duration::from_millis(600);
/// How long the test sends lookups.
const DURATION: Duration = Duration::from_secs(60);

/// Returns how many lookups begin per second: LOOKUPS if it is set, otherwise 1,000. A machine that
/// cannot handle that many has no time for the proxy either, and then etcd is not what is slow.
fn lookups_per_second() -> u32 {
    std::env::var("LOOKUPS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn impatient_lookups_cost_a_late_etcd_no_connection_and_a_peer_no_lease() {
    examples::log_to_stderr();
    let etcd = tokio::task::spawn_blocking(Etcd::start).await.unwrap();
    let proxy = EtcdProxy::of(etcd.address());
    let registry = Registry::connect(&proxy.url()).await.unwrap();
    let server = Server::builder("acceptance", registry.clone())
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = Client::new("acceptance", registry);
    proxy.set_rule(|part| match part.kind {
        PartKind::Headers => Fate::Delay(ETCD_DELAY),
        _ => Fate::Pass,
    });
    let failed = Arc::<AtomicU64>::default();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / lookups_per_second());
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (begin, mut number) = (Instant::now(), 0_u64);
    while begin.elapsed() < DURATION {
        pace.tick().await;
        number += 1;
        let (client, failed) = (client.clone(), Arc::clone(&failed));
        tokio::spawn(async move {
            let request = client.request(format!("nobody-{number}"), EchoMsg::new("x"));
            if request.deadline(LOOKUP_DEADLINE).send().await.is_err() {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!(server.state(), ServerState::Serving);
    }
    eprintln!("{number} lookups, {} connections to etcd", proxy.accepted());
    assert!(
        failed.load(Ordering::Relaxed) > number / 2,
        "most lookups must miss their deadline"
    );
    assert_eq!(server.statistics().sessions_fenced, 0);
    assert!(proxy.accepted() <= 2, "{}", proxy.accepted());
    proxy.pass_all();
    server.shutdown().await.unwrap();
}
