//! Watches of ten thousand names: over compactions, cuts and restarts of the registry, a view ends
//! up equal to the list, and no event is reported twice.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use actorgrid::{
    Client, EchoMsg, Kind, Mailbox, MemoryFault, MemoryOperation, MemoryRegistry, Registration,
    Request, Server, Watch, WatchEvent,
};
use fastrand::Rng;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use world::{MemoryWorld, World, clock, on_both_registries, pass, secs};

const NAMES: usize = 10_000;

on_both_registries! {
    ten_thousand_mailboxes_are_listed_and_watched,
}

/// The registrations that a watcher believes to exist. Panics on an event that is impossible in
/// this state.
#[derive(Default)]
struct View {
    held: BTreeMap<String, Registration>,
    /// The greatest revision at which a name was registered.
    greatest: HashMap<String, i64>,
    events: usize,
    lost: usize,
}

impl View {
    fn of(list: Vec<Registration>) -> Self {
        let mut view = Self::default();
        for registration in list {
            view.apply(WatchEvent::Appeared(registration));
        }
        view.events = 0;
        view
    }

    fn apply(&mut self, event: WatchEvent) {
        self.events += 1;
        match event {
            WatchEvent::Appeared(new) => {
                let (name, revision) = (new.name.to_string(), new.token.revision());
                if let Some(before) = self.greatest.insert(name.clone(), revision) {
                    assert!(before < revision, "{name} went back to {revision}");
                }
                let old = self.held.insert(name, new);
                assert!(old.is_none(), "{old:?} appeared again");
            }
            WatchEvent::Changed(new) => {
                let old = self.held.insert(new.name.to_string(), new.clone());
                let old = old.unwrap_or_else(|| panic!("{new:?} is not there to change"));
                assert_eq!(old.token, new.token, "another holder");
                assert_ne!(old, new, "nothing has changed");
            }
            WatchEvent::Disappeared(old) => {
                let held = self.held.remove(old.name.as_str());
                assert_eq!(held, Some(old));
            }
            WatchEvent::HistoryLost => {
                self.events -= 1;
                self.lost += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    fn is(&self, list: &[Registration]) -> bool {
        self.held.values().eq(list)
    }

    async fn follow_until(&mut self, changes: &mut Watch, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            let event = tokio::time::timeout(secs(60), changes.next()).await;
            let events = self.events;
            self.apply(event.unwrap_or_else(|_| panic!("silent after {events} events")));
        }
    }

    /// Follows the watch once nobody makes changes any more, until the view equals the list and
    /// nothing more is reported.
    async fn settle(&mut self, changes: &mut Watch, client: &Client) {
        let list = listed(client).await;
        loop {
            match changes.next().now_or_never() {
                Some(event) => self.apply(event),
                None if self.is(&list) => break,
                None => {
                    let event = tokio::time::timeout(secs(60), changes.next()).await;
                    let (held, listed) = (self.held.len(), list.len());
                    let silent = || panic!("{held} in the silent view, {listed} in the list");
                    self.apply(event.unwrap_or_else(|_| silent()));
                }
            }
        }
        assert!(self.is(&listed(client).await));
    }
}

/// Returns the list, as soon as the registry returns it.
async fn listed(client: &Client) -> Vec<Registration> {
    let begun = clock();
    loop {
        match client.query(Kind::Mailbox).await {
            Ok(list) => return list,
            Err(error) => assert!(begun.elapsed() < secs(120), "{error}"),
        }
    }
}

fn name(number: usize) -> String {
    format!("worker-{number}")
}

/// The mailboxes of a server, which open and close.
struct Mailboxes {
    server: Server,
    open: HashMap<usize, Mailbox<Request<EchoMsg>>>,
}

impl Mailboxes {
    fn of(server: Server) -> Self {
        let open = HashMap::new();
        Self { server, open }
    }

    /// Opens those of these mailboxes that can be opened now: the name of one that was just closed
    /// is not free yet.
    async fn open(&mut self, numbers: impl IntoIterator<Item = usize>) {
        let server = &self.server;
        let opening = numbers.into_iter().map(async |number| {
            let mailbox = server.mailbox(name(number), 1).await;
            mailbox.ok().map(|mailbox| (number, mailbox))
        });
        let mut opening = stream::iter(opening).buffer_unordered(500);
        while let Some(opened) = opening.next().await {
            self.open.extend(opened);
        }
    }

    async fn open_all(&mut self) {
        let begun = clock();
        while self.open.len() < NAMES {
            let missing = (0..NAMES).filter(|number| !self.open.contains_key(number));
            let missing: Vec<_> = missing.collect();
            self.open(missing).await;
            assert!(begun.elapsed() < secs(60), "{} are open", self.open.len());
            pass(Duration::from_millis(10)).await;
        }
    }
}

async fn ten_thousand_mailboxes_are_listed_and_watched(world: World) {
    let (client, server) = (world.client(), world.server());
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let (none, mut changes) = client.watch(Kind::Mailbox).await.unwrap();
    // The peer's own mailbox.
    let others = none.len();
    let mut view = View::of(none);
    let mut mailboxes = Mailboxes::of(server);
    tokio::join!(mailboxes.open_all(), async {
        view.follow_until(&mut changes, |view| view.held.len() == NAMES + others)
            .await;
    });
    let list = client.query(Kind::Mailbox).await.unwrap();
    assert_eq!(list.len(), NAMES + others);
    assert!(list.is_sorted_by_key(|registration| registration.name.as_str()));
    view.settle(&mut changes, &client).await;
    let (now, _) = client.watch(Kind::Mailbox).await.unwrap();
    assert_eq!(now, list);

    mailboxes.open.clear();
    view.follow_until(&mut changes, |view| view.held.len() == others)
        .await;
    mailboxes.server.shutdown().await.unwrap();
    view.settle(&mut changes, &client).await;
    assert_eq!((view.events, view.lost), (2 * NAMES + others, 0));
}

/// The value of a registration at the peer with this number.
fn value(key: &str, peer: u16) -> String {
    format!(
        r#"{{"key":"{key}","address":"127.0.0.1:{peer}","registry":"peer-{peer}","annotations":null}}"#
    )
}

/// Registers and deletes mailboxes as an operator would, at random.
struct Operator<'a> {
    registry: &'a MemoryRegistry,
    random: Rng,
    names: usize,
    changes: u16,
    /// The number of events that a watcher reports if it misses none.
    events: usize,
}

impl<'a> Operator<'a> {
    fn new(world: &'a MemoryWorld, seed: u64, names: usize) -> Self {
        Self {
            registry: &world.registry,
            random: Rng::with_seed(seed),
            names,
            changes: 0,
            events: 0,
        }
    }

    fn change(&mut self, count: usize) {
        for _ in 0..count {
            let key = format!("test.mailbox.{}", name(self.random.usize(..self.names)));
            if self.random.u8(..3) == 0 {
                self.events += usize::from(self.registry.delete(&key));
            } else {
                // Must differ from the current value.
                self.changes = self.changes % 60_000 + 1;
                self.registry.overwrite(&key, value(&key, self.changes));
                self.events += 1;
            }
        }
    }

    /// Does one of the things that a registry may do to its watches.
    fn mishap(&mut self) {
        let registry = self.registry;
        match self.random.u8(..14) {
            0..4 => registry.break_watches(),
            4 => registry.compact(),
            5 | 6 => registry.set_refusing(true),
            7 | 8 => registry.set_refusing(false),
            9 => registry.set_away(true),
            10 | 11 => registry.set_away(false),
            12 => registry.inject(MemoryOperation::Watch, self.fault()),
            _ => registry.inject(MemoryOperation::List, self.fault()),
        }
    }

    fn fault(&mut self) -> MemoryFault {
        match self.random.u8(..4) {
            0 => MemoryFault::Refuse,
            1 => MemoryFault::FailReply,
            2 => MemoryFault::LoseReply,
            _ => MemoryFault::Delay(secs(1)),
        }
    }
}

/// Runs random mishaps against a watch of `names` names, with a reader that is often slow, in this
/// many steps. Returns how often history was lost.
async fn any_mishaps(seed: u64, names: usize, steps: usize, most: usize) -> usize {
    let world = MemoryWorld::new();
    let mut operator = Operator::new(&world, seed, names);
    operator.change(most);
    let client = world.client();
    let (now, mut changes) = client.watch(Kind::Mailbox).await.unwrap();
    let mut view = View::of(now);
    for _ in 0..steps {
        let count = operator.random.usize(..most);
        operator.change(count);
        operator.mishap();
        let time = Duration::from_millis(operator.random.u64(..2_000));
        let reads = operator.random.usize(..2 * most);
        let reading = async {
            for _ in 0..reads {
                view.apply(changes.next().await);
            }
        };
        let _ = tokio::time::timeout(time, reading).await;
    }
    world.registry.set_refusing(false);
    world.registry.set_away(false);
    view.settle(&mut changes, &client).await;
    view.lost
}

#[tokio::test(start_paused = true)]
async fn a_view_ends_as_the_list_whatever_became_of_the_registry() {
    for seed in 0..200 {
        eprintln!("seed {seed}");
        any_mishaps(seed, 6, 60, 12).await;
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_names_end_as_the_list_whatever_became_of_the_registry() {
    let mut lost = 0;
    for seed in 0..3 {
        eprintln!("seed {seed}");
        lost += any_mishaps(seed, NAMES, 60, 3_000).await;
    }
    assert!(lost > 0, "no history was lost");
}

#[tokio::test(start_paused = true)]
async fn short_breaks_are_bridged_without_a_loss() {
    let world = MemoryWorld::new();
    let mut operator = Operator::new(&world, 1, NAMES);
    operator.change(5_000);
    let client = world.client();
    let (now, mut changes) = client.watch(Kind::Mailbox).await.unwrap();
    let mut view = View::of(now);
    operator.events = 0;
    for round in 0..50 {
        world.registry.break_watches();
        // The watch fails up to twice before it can be opened again.
        for _ in 0..round % 3 {
            world
                .registry
                .inject(MemoryOperation::Watch, MemoryFault::Refuse);
        }
        operator.change(100);
        let all = operator.events;
        view.follow_until(&mut changes, |view| view.events == all)
            .await;
        // Broken while nothing changes.
        world.registry.break_watches();
        assert!(changes.next().now_or_never().is_none());
        pass(secs(1)).await;
    }
    let lists = world.registry.calls(MemoryOperation::List);
    assert_eq!((lists, view.lost), (1, 0));
    view.settle(&mut changes, &client).await;
    assert_eq!(view.events, operator.events);
}

#[tokio::test(start_paused = true)]
async fn only_a_longer_break_lists_again_and_reports_a_loss() {
    let world = MemoryWorld::new();
    let mut operator = Operator::new(&world, 1, 10);
    let client = world.client();
    let (_, mut changes) = client.watch(Kind::Mailbox).await.unwrap();
    let mut view = View::default();
    for (refused, lost) in [(0, 0), (1, 0), (2, 0), (3, 1), (8, 1)] {
        for changed in [0, 20] {
            world.registry.break_watches();
            for _ in 0..refused.min(3) {
                world
                    .registry
                    .inject(MemoryOperation::Watch, MemoryFault::Refuse);
            }
            for _ in 3..refused {
                world
                    .registry
                    .inject(MemoryOperation::List, MemoryFault::Refuse);
            }
            operator.change(changed);
            let before = view.lost;
            let quiet = tokio::time::timeout(secs(60), async {
                loop {
                    view.apply(changes.next().await);
                }
            });
            assert!(quiet.await.is_err());
            let lost = if changed == 0 { 0 } else { lost };
            assert_eq!(view.lost - before, lost, "{refused} {changed}");
        }
    }
    view.settle(&mut changes, &client).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_learns_of_the_loss_and_then_the_difference() {
    let world = MemoryWorld::new();
    let mut operator = Operator::new(&world, 1, 2 * NAMES);
    operator.change(5_000);
    let client = world.client();
    let (now, mut changes) = client.watch(Kind::Mailbox).await.unwrap();
    let mut view = View::of(now);
    // More than the registry keeps.
    operator.change(2 * NAMES);
    assert_eq!(changes.next().await, WatchEvent::HistoryLost);
    view.settle(&mut changes, &client).await;
    assert!(view.events < operator.events);
    assert_eq!(view.lost, 0, "the loss is reported once");
    operator.change(100);
    view.settle(&mut changes, &client).await;
    assert_eq!(view.lost, 0);
}

/// Returns how often watches were opened and names listed so far.
fn asked(world: &MemoryWorld) -> u64 {
    let calls = |operation| world.registry.calls(operation);
    calls(MemoryOperation::Watch) + calls(MemoryOperation::List)
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_drops_every_watch_is_not_hammered() {
    let world = MemoryWorld::new();
    let client = world.client();
    let (_, mut changes) = client.watch(Kind::Mailbox).await.unwrap();
    // First it refuses every watch, then it accepts and drops every watch at once.
    for refuses in [true, false] {
        let before = asked(&world);
        let breaking = async {
            let begun = clock();
            world.registry.set_refusing(refuses);
            while begun.elapsed() < secs(60) {
                world.registry.break_watches();
                pass(Duration::from_millis(10)).await;
            }
            world.registry.set_refusing(false);
        };
        tokio::select! {
            event = changes.next() => panic!("{event:?}"),
            () = breaking => {}
        }
        let often = asked(&world) - before;
        assert!((10..50).contains(&often), "{often} times in a minute");
        // From now on watches stay open.
        let idle = tokio::time::timeout(secs(30), changes.next()).await;
        assert!(idle.is_err());
    }
    // Hence a single break is repaired soon, and the changes during it are reported.
    for number in 0..20 {
        world.registry.break_watches();
        assert!(changes.next().now_or_never().is_none());
        let key = format!("test.mailbox.{}", name(number));
        world.registry.overwrite(&key, value(&key, 1));
        let reported = tokio::time::timeout(Duration::from_millis(110), changes.next()).await;
        assert!(
            matches!(reported, Ok(WatchEvent::Appeared(_))),
            "{reported:?}"
        );
    }
}

/// Behaviour that only a real etcd shows.
#[cfg(feature = "etcd")]
mod on_etcd {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use actorgrid::{Registry, ServerState};
    use testbed::{Etcd, Proxy};
    use tokio::sync::watch;
    use tokio::task::{JoinHandle, block_in_place};

    use super::*;
    use crate::world::eventually;

    async fn client_at(address: SocketAddr) -> Client {
        let registry = Registry::connect(&format!("etcd://{address}")).await;
        Client::new("test", registry.unwrap())
    }

    #[allow(clippy::disallowed_methods)] // the tests are outside of the world that they test
    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        tokio::spawn(task)
    }

    /// Closes and opens mailboxes until it is stopped.
    struct Churn {
        stop: Arc<AtomicBool>,
        changes: Arc<AtomicUsize>,
        ended: JoinHandle<Mailboxes>,
    }

    impl Churn {
        fn begin(mut mailboxes: Mailboxes) -> Self {
            let (stop, changes) = (Arc::default(), Arc::default());
            let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&changes));
            let ended = spawn(async move {
                let mut random = Rng::with_seed(1);
                while !AtomicBool::load(&stopped, Ordering::Relaxed) {
                    let numbers: Vec<_> = (0..100).map(|_| random.usize(..NAMES)).collect();
                    let before = mailboxes.open.len();
                    for number in &numbers {
                        mailboxes.open.remove(number);
                    }
                    let closed = before - mailboxes.open.len();
                    // Also retries those that could not be opened before.
                    let missing = (0..NAMES).filter(|number| !mailboxes.open.contains_key(number));
                    let missing: Vec<_> = missing.take(200).collect();
                    let kept = mailboxes.open.len();
                    mailboxes.open(missing).await;
                    let changes = closed + mailboxes.open.len() - kept;
                    AtomicUsize::fetch_add(&counted, changes, Ordering::Relaxed);
                    pass(Duration::from_millis(20)).await;
                }
                mailboxes
            });
            Self {
                stop,
                changes,
                ended,
            }
        }

        /// Waits until this many more mailboxes have opened or closed.
        async fn wait_for(&self, changes: usize) {
            let until = self.changes.load(Ordering::Relaxed) + changes;
            eventually("the mailboxes change", || {
                self.changes.load(Ordering::Relaxed) >= until
            })
            .await;
        }

        async fn end(self) -> Mailboxes {
            self.stop.store(true, Ordering::Relaxed);
            self.ended.await.unwrap()
        }
    }

    /// A watcher on its own task.
    struct Watcher {
        lost: watch::Receiver<usize>,
        quiet: watch::Sender<bool>,
        ended: JoinHandle<View>,
    }

    impl Watcher {
        /// Begins with a view of what is registered now, and reads once `may_read` allows it.
        async fn begin(client: Client, mut may_read: watch::Receiver<bool>) -> Self {
            let (now, mut changes) = client.watch(Kind::Mailbox).await.unwrap();
            let (quiet, mut is_quiet) = watch::channel(false);
            let (lost_sender, lost) = watch::channel(0);
            let ended = spawn(async move {
                let mut view = View::of(now);
                may_read.wait_for(|may| *may).await.unwrap();
                loop {
                    tokio::select! {
                        event = changes.next() => view.apply(event),
                        _ = is_quiet.wait_for(|quiet| *quiet) => break,
                    }
                    lost_sender.send_replace(view.lost);
                }
                view.settle(&mut changes, &client).await;
                view
            });
            Self { lost, quiet, ended }
        }

        fn lost(&self) -> usize {
            *self.lost.borrow()
        }

        /// Returns its view when all is quiet.
        async fn end(self) -> View {
            self.quiet.send_replace(true);
            self.ended.await.unwrap()
        }
    }

    /// Compacts up to the newest registration.
    async fn compact(etcd: &Etcd, client: &Client) {
        let list = listed(client).await;
        let newest = list.iter().map(|it| it.token.revision()).max().unwrap();
        block_in_place(|| etcd.ctl(["compact", &newest.to_string()]));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn watches_of_ten_thousand_names_that_change_end_as_the_list() {
        let mut etcd = block_in_place(Etcd::start);
        let proxy = Proxy::of(etcd.address());
        let (client, behind) = (client_at(etcd.address()).await, proxy.address());
        let server = Server::builder("test", Registry::connect(&etcd.url()).await.unwrap())
            .lease_ttl(secs(5))
            .bind("127.0.0.1:0")
            .await
            .unwrap();
        let (reads, may_read) = watch::channel(true);
        let (wakes, may_wake) = watch::channel(false);
        let direct = Watcher::begin(client.clone(), may_read.clone()).await;
        let cut = Watcher::begin(client_at(behind).await, may_read).await;
        let slow = Watcher::begin(client.clone(), may_wake).await;
        let mut mailboxes = Mailboxes::of(server);
        mailboxes.open_all().await;
        let churn = Churn::begin(mailboxes);

        // Connections are cut: nothing is lost.
        for _ in 0..5 {
            churn.wait_for(1_000).await;
            proxy.cut();
        }
        churn.wait_for(4_000).await;
        assert_eq!((direct.lost(), cut.lost()), (0, 0));

        // The history that watches still need is compacted while one is cut off and one is not
        // read.
        proxy.refuse(true);
        churn.wait_for(500).await;
        compact(&etcd, &client).await;
        churn.wait_for(100).await;
        proxy.refuse(false);
        eventually("the loss is reported", || cut.lost() > 0).await;
        assert_eq!(direct.lost(), 0);
        wakes.send_replace(true);
        eventually("the loss is reported to a slow reader", || slow.lost() > 0).await;

        // etcd is away, once for less time than the leases live and once for more.
        block_in_place(|| etcd.stop());
        block_in_place(|| etcd.restart());
        churn.wait_for(500).await;
        block_in_place(|| etcd.kill());
        pass(secs(6)).await;
        block_in_place(|| etcd.restart());
        churn.wait_for(500).await;
        compact(&etcd, &client).await;
        proxy.cut();
        churn.wait_for(500).await;

        let mut mailboxes = churn.end().await;
        // The mailboxes from before the long outage are not registered any more.
        mailboxes.server.wait_for(ServerState::Serving).await;
        mailboxes.open.clear();
        mailboxes.open_all().await;
        for watcher in [direct, cut, slow] {
            let view = watcher.end().await;
            assert!((NAMES..NAMES + 2).contains(&view.held.len()));
        }
        drop((mailboxes, reads));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_watch_that_is_dropped_leaves_nothing_at_etcd() {
        let etcd = block_in_place(Etcd::start);
        let client = client_at(etcd.address()).await;
        let watchers = || {
            let name = "etcd_debugging_mvcc_watcher_total";
            block_in_place(|| etcd.metric(name)).to_string()
        };
        let mut watches = Vec::new();
        for _ in 0..20 {
            let (_, mut changes) = client.watch(Kind::Mailbox).await.unwrap();
            // A watch is opened when it is first polled.
            assert!(changes.next().now_or_never().is_none());
            watches.push(changes);
        }
        let reading = async {
            let mut all = stream::select_all(&mut watches);
            all.next().await
        };
        tokio::select! {
            event = reading => panic!("{event:?}"),
            () = eventually("all watches are open", || watchers() == "20") => {}
        }
        drop(watches);
        eventually("no watch is left", || watchers() == "0").await;
        let streams = "etcd_debugging_mvcc_watch_stream_total";
        let streams = block_in_place(|| etcd.metric(streams));
        assert_eq!(streams.to_string(), "0");
    }
}
