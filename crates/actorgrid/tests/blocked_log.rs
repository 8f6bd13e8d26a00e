//! A log that blocks the keeper's thread. Time and threads are real here because a blocking thread
//! cannot be simulated; the test has its own process because it installs a global subscriber.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers
#![allow(clippy::disallowed_methods)] // time is real

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actorgrid::{
    ActorStart, FenceReason, MemoryRegistry, Server, ServerEvent, ServerEvents, ServerState,
};
use tokio::sync::mpsc;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The lease: its soft deadline is 3.33 s after a renewal, its hard one 4 s.
const TTL: Duration = Duration::from_secs(5);
const BOUND: Duration = Duration::from_secs(20);

/// Blocks the keeper's thread at its first warning, until the sender is dropped.
struct BlockedLog(Mutex<Receiver<()>>);

impl Subscriber for BlockedLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        if std::thread::current().name() == Some("actorgrid-keeper") {
            let released = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = released.recv();
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct SendOnDrop(mpsc::UnboundedSender<Instant>);

impl Drop for SendOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(Instant::now());
    }
}

/// Returns the next change of state.
async fn changed(events: &mut ServerEvents) -> (ServerState, Option<FenceReason>) {
    loop {
        let event = tokio::time::timeout(BOUND, events.next()).await.unwrap();
        if let ServerEvent::StateChanged { state, reason } = event.unwrap() {
            return (state, reason);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_blocks_the_keeper_holds_up_neither_fence_nor_abort_nor_rejoin() {
    let (release, released) = channel();
    tracing::subscriber::set_global_default(BlockedLog(Mutex::new(released))).unwrap();
    let registry = MemoryRegistry::new(&actorgrid::Environment::real());
    let (ended, mut has_ended) = mpsc::unbounded_channel();
    let server = Server::builder("test", registry.registry())
        .lease_ttl(TTL)
        .actor_fn("ignores-stops", move |_start, _ctx| {
            let ended = SendOnDrop(ended.clone());
            async move {
                let _ended = ended;
                std::future::pending().await
            }
        });
    let begun = Instant::now();
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let start = ActorStart::new("a", "ignores-stops");
    server.client().start(server.peer(), start).await.unwrap();
    let mut events = server.events();

    // The first renewal fails, and logging the warning about it blocks.
    registry.set_refusing(true);
    let fenced = (ServerState::Fenced, Some(FenceReason::Deadline));
    assert_eq!(changed(&mut events).await, fenced);
    assert!(begun.elapsed() < TTL, "{:?}", begun.elapsed());
    registry.set_refusing(false);
    let ended = has_ended.recv().await.unwrap();
    assert!(ended - begun < TTL, "{:?}", ended - begun);

    // The blocked keeper may renew once more when it resumes, so the lease is left to expire.
    assert_eq!(changed(&mut events).await, (ServerState::Rejoining, None));
    assert_eq!(changed(&mut events).await, (ServerState::Serving, None));
    assert!(begun.elapsed() >= TTL, "{:?}", begun.elapsed());
    assert_eq!(server.statistics().sessions, 2);
    drop(release);
    server.shutdown().await.unwrap();
    assert_eq!(registry.leases(), 0);
}
