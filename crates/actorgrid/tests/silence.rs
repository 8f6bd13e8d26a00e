//! Watches that stay silent although the registry is up: a proxy in front of etcd swallows single
//! messages, or all of them for a while.

#![cfg(feature = "etcd")]
#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actorgrid::{ActorStart, Client, Kind, Name, Registry, Server, ServerState, Watch, WatchEvent};
use testbed::{CallPart, Etcd, EtcdProxy, Fate, PartKind};
use world::{Resource, echo_type, eventually, pass, secs};

/// The shortest time to live that is allowed.
const TTL: Duration = Duration::from_secs(5);
/// Slack for a machine under load, on top of a bound.
const LEEWAY: Duration = Duration::from_secs(3);

/// An etcd, and a proxy in front of it.
struct ProxiedEtcd {
    etcd: Etcd,
    proxy: EtcdProxy,
}

impl ProxiedEtcd {
    fn start() -> Self {
        let etcd = Etcd::start();
        let proxy = EtcdProxy::of(etcd.address());
        Self { etcd, proxy }
    }

    fn swallow(&self, swallows: impl Fn(&CallPart<'_>) -> bool + Send + Sync + 'static) {
        self.proxy.set_rule(move |part| match swallows(&part) {
            true => Fate::Swallow,
            false => Fate::Pass,
        });
    }

    async fn server(&self, url: &str, resource: &Resource) -> Server {
        let registry = Registry::connect(url).await.unwrap();
        Server::builder("test", registry)
            .lease_ttl(TTL)
            .actor_type(resource.holder_type("leader"))
            .actor_type(echo_type("echo"))
            .bind("127.0.0.1:0")
            .await
            .unwrap()
    }

    async fn revision(&self) -> String {
        let found = self.etcd.ctl(["get", "none", "--write-out=json"]);
        let (_, rest) = found.split_once("\"revision\":").unwrap();
        rest.chars().take_while(char::is_ascii_digit).collect()
    }
}

fn is_watch_reply(part: &CallPart<'_>) -> bool {
    part.method.ends_with("/Watch") && part.kind == PartKind::Reply
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_whose_key_is_deleted_without_a_report_is_fenced_within_half_a_time_to_live() {
    for prefix in ["test.peer.", "registry.uniq-lock."] {
        let world = ProxiedEtcd::start();
        let resource = Resource::default();
        let server = world.server(&world.proxy.url(), &resource).await;
        // Its watches are open.
        eventually("the server leads", || resource.holders("leader") == 1).await;
        pass(secs(1)).await;
        let fenced = server.statistics().sessions_fenced;
        world.swallow(move |part| part.has_events() && part.contains(prefix));
        let deleted = world.etcd.ctl(["del", "--prefix", prefix]);
        assert_eq!(deleted.trim(), "1");
        let begun = world::clock();
        eventually("the server is fenced", || {
            server.statistics().sessions_fenced > fenced
        })
        .await;
        assert!(begun.elapsed() <= TTL / 2 + LEEWAY, "{:?}", begun.elapsed());
        eventually("the server serves again", || {
            server.state() == ServerState::Serving
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_deletion_is_swallowed_is_replaced_within_half_a_time_to_live() {
    let world = ProxiedEtcd::start();
    let resource = Resource::default();
    let url = world.proxy.url();
    let one = world.server(&url, &resource).await;
    let two = world.server(&url, &resource).await;
    eventually("a leader runs", || resource.holders("leader") == 1).await;
    pass(secs(1)).await;
    world.swallow(|part| part.has_events() && part.contains("test.actor.leader"));
    for starts in 2..=3 {
        let begun = world::clock();
        one.client().stop("leader").await.unwrap();
        eventually("the next leader runs", || {
            resource.tokens("leader").len() == starts
        })
        .await;
        assert!(begun.elapsed() <= TTL / 2 + LEEWAY, "{:?}", begun.elapsed());
    }
    assert_eq!(resource.most(), 1);
    drop(two);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_whose_created_replies_are_swallowed_leads_all_the_same() {
    let world = ProxiedEtcd::start();
    let resource = Resource::default();
    let one = world.server(&world.etcd.url(), &resource).await;
    eventually("a leader runs", || resource.holders("leader") == 1).await;
    world.swallow(|part| part.is_created_reply());
    let two = world.server(&world.proxy.url(), &resource).await;
    pass(secs(3)).await;
    let begun = world::clock();
    one.shutdown().await.unwrap();
    eventually("the next leader runs", || resource.holders("leader") == 1).await;
    assert!(begun.elapsed() <= secs(2) + LEEWAY, "{:?}", begun.elapsed());
    assert_eq!(two.state(), ServerState::Serving);
}

/// A client behind the proxy that watches actors, and a server that does not use the proxy.
struct Watched {
    world: ProxiedEtcd,
    server: Server,
    client: Client,
    changes: Watch,
}

impl Watched {
    async fn begin() -> Self {
        let world = ProxiedEtcd::start();
        let server = world.server(&world.etcd.url(), &Resource::default()).await;
        let leader = Name::new("leader").unwrap();
        while let Ok(None) = server.client().find(Kind::Actor, &leader).await {
            pass(Duration::from_millis(20)).await;
        }
        let registry = Registry::connect(&world.proxy.url()).await.unwrap();
        let client = Client::new("test", registry);
        let (now, changes) = client.watch(Kind::Actor).await.unwrap();
        assert_eq!(now.len(), 1);
        Self {
            world,
            server,
            client,
            changes,
        }
    }

    async fn start(&self, name: &str) {
        let start = ActorStart::new(name, "echo");
        let started = self.server.client().start(self.server.peer(), start);
        started.await.unwrap();
    }

    async fn stop(&self, name: &str) {
        self.server.client().stop(name).await.unwrap();
    }

    /// Polls the watch for `time` and asserts that it reports nothing.
    async fn is_quiet(&mut self, time: Duration) {
        let quiet = tokio::time::timeout(time, self.changes.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    }

    /// Asserts the next events, each written as a sign and a name.
    async fn expect(&mut self, events: &[&str]) {
        for (number, expected) in events.iter().enumerate() {
            let event = tokio::time::timeout(secs(30), self.changes.next()).await;
            let text = match event.unwrap_or_else(|_| panic!("{expected} was not reported")) {
                WatchEvent::Appeared(one) => format!("+{}", one.name),
                WatchEvent::Disappeared(one) => format!("-{}", one.name),
                other => format!("{other:?}"),
            };
            assert_eq!(text, *expected, "event {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_everything_is_swallowed_for_a_while() {
    // After 5 s the watch is asked for progress, and 2 s later it is abandoned. The second outage
    // ends before that: then a reply arrives that follows the missing ones.
    for swallowed in [Duration::from_secs(8), Duration::from_millis(6_500)] {
        let mut watched = Watched::begin().await;
        watched.start("a").await;
        watched.expect(&["+a"]).await;
        watched.world.swallow(is_watch_reply);
        watched.start("b").await;
        watched.stop("a").await;
        watched.is_quiet(swallowed).await;
        watched.world.proxy.pass_all();
        watched.start("c").await;
        watched.stop("b").await;
        watched.expect(&["+b", "-a", "+c", "-b"]).await;
        watched.is_quiet(secs(8)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_whose_progress_is_swallowed_resumes_without_a_loss() {
    let mut watched = Watched::begin().await;
    watched.world.swallow(|part| part.is_progress());
    for name in ["a", "b", "c"] {
        watched.is_quiet(Duration::from_millis(7_500)).await;
        watched.start(name).await;
        watched.expect(&[&format!("+{name}")]).await;
    }
    let now = watched.client.query(Kind::Actor).await.unwrap();
    assert_eq!(now.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_watch_that_breaks_loses_no_history_though_it_was_compacted() {
    let mut watched = Watched::begin().await;
    if watched.world.etcd.version().starts_with("3.4.") {
        // Before 3.4.25, the progress that is asked for may overtake changes.
        return;
    }
    let reported = Arc::new(AtomicUsize::new(0));
    for name in ["a", "b"] {
        watched.world.etcd.ctl(["put", "another", name]);
        let before = reported.load(Ordering::SeqCst);
        let counted = reported.clone();
        watched.world.proxy.set_rule(move |part| {
            counted.fetch_add(usize::from(part.is_progress()), Ordering::SeqCst);
            Fate::Pass
        });
        watched.is_quiet(secs(6)).await;
        assert!(reported.load(Ordering::SeqCst) > before, "no progress");
        let revision = watched.world.revision().await;
        watched.world.etcd.ctl(["compaction", &revision]);
        watched.world.proxy.cut();
        watched.start(name).await;
        watched.expect(&[&format!("+{name}")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_without_any_change_answers_its_watches() {
    let mut watched = Watched::begin().await;
    // The watch opens when it is first polled.
    watched.is_quiet(secs(1)).await;
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = opened.clone();
    watched.world.proxy.set_rule(move |part| {
        counted.fetch_add(usize::from(part.is_created_reply()), Ordering::SeqCst);
        Fate::Pass
    });
    watched.is_quiet(secs(16)).await;
    assert_eq!(opened.load(Ordering::SeqCst), 0, "the watch was abandoned");
}
