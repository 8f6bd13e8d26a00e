//! Tests of sessions whose own tasks die, or cannot start.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};

use super::end::ABORT_GRACE;
use crate::client::{Client, Health};
use crate::environment::{Environment, Simulation};
use crate::message::{ActorStart, EchoMsg};
use crate::registry::{MemoryFault, MemoryOperation, MemoryRegistry};
use crate::request::Request;
use crate::server::{
    ActorType, Server, ServerBuilder, ServerErrorKind, ServerEvent, ServerEvents, ServerState,
    ShutdownError,
};
use crate::session::{Fence, FenceReason};

const TTL: Duration = Duration::from_secs(15);

struct World {
    environment: Environment,
    registry: MemoryRegistry,
    server: Server,
    events: ServerEvents,
    /// The number of actors that the grid starts on its own.
    leaders: u64,
}

impl World {
    /// Creates a server with an actor, at a time at which no renewal is due.
    async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let environment = Simulation::new(7).environment();
        let registry = MemoryRegistry::new(&environment);
        let waits = ActorType::from_fn("waits", async |_start, ctx| {
            ctx.stopping().await;
            Ok(())
        });
        let echo = ActorType::from_fn("echo", async |_start, ctx| {
            let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(5).await?;
            loop {
                tokio::select! {
                    biased;
                    _ = ctx.stopping() => return Ok(()),
                    Some(request) = mailbox.recv() => request.respond(EchoMsg::new("echo"))?,
                }
            }
        });
        let server = Server::builder("test", registry.registry())
            .environment(environment.clone())
            .lease_ttl(TTL)
            .actor_type(echo)
            .actor_type(waits);
        let server = configure(server).bind("127.0.0.1:0").await.unwrap();
        let world = Self {
            events: server.events(),
            environment,
            registry,
            server,
            leaders: 0,
        };
        world.start("a").await.unwrap();
        world.environment.sleep(Duration::from_secs(1)).await;
        world
    }

    async fn start(&self, name: &str) -> Result<(), crate::error::RequestError> {
        let start = ActorStart::new(name, "waits");
        let client = self.server.client();
        client.start(self.server.peer(), start).await.map(drop)
    }

    /// Waits until the peer is fenced because a task died, within this time, and then for its next
    /// session.
    async fn is_fenced_and_rejoins(&mut self, bound: Duration) {
        let fenced = async {
            loop {
                let event = self.events.next().await.unwrap();
                if let ServerEvent::StateChanged { state, reason } = event {
                    return (state, reason);
                }
            }
        };
        // A little more, so that timers that end together all fire.
        let bound = bound + Duration::from_millis(2);
        let state = self.environment.timeout(bound, fenced).await;
        let died = (ServerState::Fenced, Some(FenceReason::TaskDied));
        assert_eq!(state, Some(died));
        let fenced = self.environment.now();
        self.server.wait_for(ServerState::Serving).await;
        // The lease of the ended session is revoked, so the rejoin does not wait for it.
        let took = self.environment.now().since(fenced);
        assert!(took < Duration::from_secs(1), "{took:?}");
        self.serves_a_second_session().await;
    }

    async fn serves_a_second_session(&self) {
        assert_eq!(self.registry.leases(), 1);
        assert_eq!(self.server.statistics().sessions, 2);
        assert_eq!(self.server.statistics().sessions_fenced, 1);
        assert!(self.server.statistics().actors_running <= self.leaders);
        self.start("a").await.unwrap();
        self.environment.sleep(3 * TTL).await;
        assert_eq!(self.server.state(), ServerState::Serving);
    }
}

/// Starts more actors than one lease carries.
async fn start_crowd(world: &World) {
    let start = async |number| world.start(&format!("crowd-{number}")).await;
    let starts = (0..1_100).map(|number| start(number).boxed_local());
    let started = stream::iter(starts).buffer_unordered(100);
    let all = started.all(async |started| started.is_ok());
    assert!(all.await);
    // And one that was granted before names need it.
    assert_eq!(world.registry.leases(), 3);
}

/// The bound on the end of a session with these leases.
const REVOKE_BOUND_OF_CROWD: Duration = Duration::from_millis(2_000 + 2 * 50);

#[tokio::test(start_paused = true)]
async fn a_peer_with_several_leases_that_loses_one_rejoins_with_a_fresh_one() {
    let world = World::new().await;
    start_crowd(&world).await;
    let lease = |name| world.registry.lease_of(&format!("test.actor.{name}"));
    let (first, second) = (lease("crowd-0").unwrap(), lease("crowd-1099").unwrap());
    assert_ne!(first, second);
    world.registry.revoke_lease(second);
    world.server.wait_for(ServerState::Fenced).await;
    world.server.wait_for(ServerState::Serving).await;
    world.serves_a_second_session().await;
    assert_ne!(world.registry.lease_of("test.actor.a"), Some(first));
    // The crowd is gone, also that of the lease that was not lost.
    world.start("crowd-0").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_several_leases_shuts_down_in_time_and_leaves_nothing() {
    let world = World::new().await;
    start_crowd(&world).await;
    world.server.shutdown().await.unwrap();
    assert_eq!(world.registry.keys(), [""; 0]);
    assert_eq!(world.registry.leases(), 0);

    // A registry that does not confirm the end is not waited for beyond the bound.
    let world = World::new().await;
    start_crowd(&world).await;
    for _ in 0..100 {
        let lost = MemoryFault::LoseRequest;
        world.registry.inject(MemoryOperation::Revoke, lost);
    }
    let begun = world.environment.now();
    let error = world.server.shutdown().await.unwrap_err();
    assert!(error.not_revoked);
    let took = world.environment.now().since(begun);
    let late = took.checked_sub(REVOKE_BOUND_OF_CROWD);
    assert!(late.is_some_and(|late| late < MOMENT), "{took:?}");
    world.environment.sleep(TTL).await;
    assert_eq!(world.registry.leases(), 0);
}

/// Begins the end of a session with several leases, with a registry that confirms it only after
/// this time, and then a shutdown.
async fn shut_down_after_a_fence(confirmed_after: Duration) -> Result<(), ShutdownError> {
    let configure = |builder: ServerBuilder| builder.shutdown_timeout(STOP_TIMEOUT);
    let world = World::with(configure).await;
    start_crowd(&world).await;
    // The first revocation exceeds the head start, and is repeated after that of the first lease.
    let head_start = Duration::from_millis(500);
    let delay = MemoryFault::Delay((confirmed_after - head_start) / 3);
    for _ in 0..4 {
        world.registry.inject(MemoryOperation::Revoke, delay);
    }
    let owner = world.server.handle().core.owner().unwrap();
    owner.names.fence().trip(FenceReason::KeyLost);
    world.server.wait_for(ServerState::Rejoining).await;
    let ended = world.server.shutdown().await;
    assert_eq!(world.registry.keys().is_empty(), ended.is_ok());
    ended
}

const STOP_TIMEOUT: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(20);

#[tokio::test(start_paused = true)]
async fn a_shutdown_after_a_fence_waits_for_several_leases_as_one_without() {
    let bound = STOP_TIMEOUT + ABORT_GRACE + REVOKE_BOUND_OF_CROWD;
    shut_down_after_a_fence(bound - MOMENT).await.unwrap();
    let error = shut_down_after_a_fence(bound + MOMENT).await.unwrap_err();
    assert!(error.not_revoked);
}

/// Two actors, each of which checks its stop order while it waits for a request.
#[tokio::test(start_paused = true)]
async fn actors_and_mailboxes_that_wait_take_no_lock_that_they_share() {
    let world = World::new().await;
    let client = world.server.client();
    for name in ["e-1", "e-2"] {
        let start = ActorStart::new(name, "echo");
        client.start(world.server.peer(), start).await.unwrap();
    }
    let mut own = world
        .server
        .mailbox::<Request<EchoMsg>>("own", 5)
        .await
        .unwrap();
    let owner = world.server.handle().core.owner().unwrap();
    let fence = owner.names.fence().clone();
    let ask = async |name: &'static str| client.request(name, EchoMsg::new("x")).await.unwrap();
    ask("e-1").await;
    let locked = fence.locked();
    for _ in 0..100 {
        ask("e-1").await;
        ask("e-2").await;
        tokio::join!(ask("own"), async {
            let request = own.recv().await.unwrap();
            request.respond(EchoMsg::new("y")).unwrap();
        });
    }
    assert_eq!(fence.locked(), locked);
    // All of them notice the fence at once.
    let begun = world.environment.now();
    let (none, ()) = tokio::join!(own.recv(), async { fence.trip(FenceReason::KeyLost) });
    assert!(none.is_none());
    assert_eq!(world.environment.now(), begun);
    while world.server.statistics().actors_running > 0 {
        world.environment.sleep(Duration::from_millis(1)).await;
    }
    assert!(world.environment.now().since(begun) < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_dies_fences_at_once_and_the_peer_rejoins() {
    let mut world = World::new().await;
    world
        .registry
        .inject(MemoryOperation::Renew, MemoryFault::Panic);
    // With the first renewal, long before the soft deadline.
    world.is_fenced_and_rejoins(TTL / 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_own_keys_that_dies_fences_at_once_and_the_peer_rejoins() {
    let mut world = World::new().await;
    world
        .registry
        .inject(MemoryOperation::Get, MemoryFault::Panic);
    world.registry.break_watches();
    // With the read that follows the pause of the watch.
    world
        .is_fenced_and_rejoins(Duration::from_millis(250))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_driver_that_dies_fences_at_once_and_the_peer_rejoins() {
    let mut world = World::new().await;
    world
        .registry
        .inject(MemoryOperation::Claim, MemoryFault::Panic);
    let begun = world.environment.now();
    // Certainly not executed, so it is repeated until the peer serves again.
    world.start("b").await.unwrap();
    let took = world.environment.now().since(begun);
    assert!(took < Duration::from_secs(1), "{took:?}");
    world.server.client().stop("b").await.unwrap();
    world.is_fenced_and_rejoins(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_of_the_peers_mailbox_that_dies_fences_at_once_and_the_peer_rejoins() {
    let mut world = World::new().await;
    let client = world.server.client();
    let start = ActorStart::new(crate::server::peer_mailbox::DEFECT, "waits");
    let peer = world.server.peer().clone();
    client.start(peer, start).await.unwrap_err();
    world.is_fenced_and_rejoins(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_candidate_that_dies_fences_at_once_and_the_peer_rejoins() {
    let leader = ActorType::from_fn("leader", async |_start, ctx| {
        ctx.stopping().await;
        Ok(())
    });
    let mut world = World::with(|builder| builder.actor_type(leader)).await;
    world.leaders = 1;
    world
        .registry
        .inject(MemoryOperation::Get, MemoryFault::Panic);
    world.registry.break_watches();
    // Its pause is shorter than that of the watch of own keys.
    world
        .is_fenced_and_rejoins(Duration::from_millis(100))
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_accept_loop_that_dies_fences_at_once_and_takes_connections_again() {
    let mut world = World::new().await;
    let wire = &world.server.handle().core.wire;
    wire.defect
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let environment = world.environment.clone();
    let address = world.server.address().clone();
    drop(environment.connect(&address).await.unwrap());
    world.is_fenced_and_rejoins(Duration::from_millis(1)).await;
    let client = Client::builder("test", world.registry.registry())
        .environment(environment)
        .build();
    let health = client.check_health(world.server.peer()).await.unwrap();
    assert_eq!(health, Health::Serving);
}

/// The death has cost the next session nothing.
#[tokio::test(start_paused = true)]
async fn an_accept_loop_that_dies_while_the_peer_joins_does_not_fence_its_next_session() {
    let world = World::new().await;
    world.registry.set_refusing(true);
    let core = world.server.handle().core.clone();
    let fence = core.owner().unwrap().names.fence().clone();
    fence.trip(FenceReason::KeyLost);
    world.server.wait_for(ServerState::Rejoining).await;
    core.wire
        .defect
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let deaths = core.accepting_deaths.clone();
    let address = world.server.address().clone();
    drop(world.environment.connect(&address).await.unwrap());
    world.environment.sleep(Duration::from_secs(1)).await;
    assert_eq!(*deaths.borrow(), 1);
    world.registry.set_refusing(false);
    world.server.wait_for(ServerState::Serving).await;
    world.serves_a_second_session().await;
}

/// Starts to shut down a server whose actor does not stop, and returns how long that takes from
/// `change` on, which gets the session's fence.
async fn drains(change: impl AsyncFnOnce(&World, &Fence)) -> Duration {
    let busy = ActorType::from_fn("busy", async |_start, _ctx| std::future::pending().await);
    let configure = |builder: ServerBuilder| builder.actor_type(busy).shutdown_timeout(TIMEOUT);
    let world = World::with(configure).await;
    let start = ActorStart::new("b", "busy");
    let client = world.server.client();
    client.start(world.server.peer(), start).await.unwrap();
    let owner = world.server.handle().core.owner().unwrap();
    let handle = world.server.handle();
    let shutdown = handle.shutdown();
    let changed = async {
        world.server.wait_for(ServerState::Draining).await;
        let begun = world.environment.now();
        change(&world, owner.names.fence()).await;
        begun
    };
    let (_, begun) = tokio::join!(shutdown, changed);
    assert_eq!(world.server.statistics().actors_running, 0);
    world.environment.now().since(begun)
}

/// Longer than the time after which the watchdog aborts.
const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_drain_whose_names_are_gone_aborts_at_once() {
    for (reason, aborts) in [
        (FenceReason::LeaseLost, true),
        (FenceReason::ClusterChanged, true),
        // With the other reasons, nobody else can hold the names before the lease has expired.
        (FenceReason::KeyLost, false),
        (FenceReason::TaskDied, false),
    ] {
        let took = drains(async |_, fence| fence.trip(reason)).await;
        let at_once = took < Duration::from_secs(1);
        assert_eq!(at_once, aborts, "{reason:?} {took:?}");
        assert!(took < TTL, "{reason:?} {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_whose_registry_is_left_aborts_at_once() {
    let took = drains(async |world, fence| {
        world.registry.replace();
        let cluster = world.registry.cluster();
        world.server.follow_cluster(cluster).await.unwrap();
        let left = world.environment.now();
        fence.aborted().cancelled().await;
        assert_eq!(world.environment.now(), left);
        assert_eq!(fence.reason(), Some(FenceReason::ClusterChanged));
    });
    // The wait for a replaced registry to confirm the end is short.
    let took = took.await;
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_panics_at_a_sessions_end_continues_when_the_leases_have_expired() {
    let mut world = World::new().await;
    start_crowd(&world).await;
    world
        .registry
        .inject(MemoryOperation::Revoke, MemoryFault::Panic);
    // The session ends because the keeper dies.
    world
        .registry
        .inject(MemoryOperation::Renew, MemoryFault::Panic);
    world.environment.sleep(TTL / 5).await;
    // And the next session does not start at once.
    world
        .registry
        .inject(MemoryOperation::Grant, MemoryFault::Panic);
    world.environment.sleep(Duration::from_secs(1)).await;
    assert_eq!(world.server.state(), ServerState::Rejoining);
    world.server.wait_for(ServerState::Serving).await;
    world.serves_a_second_session().await;
    world.server.shutdown().await.unwrap();
    assert_eq!(world.events.next().await.map(drop), Some(()));
}

/// Makes the serving task of a session with several leases panic, which were granted at different
/// times and not renewed yet.
async fn a_crowd_whose_supervisor_panics() -> World {
    let world = World::new().await;
    start_crowd(&world).await;
    let fault = MemoryFault::Panic;
    world.registry.inject(MemoryOperation::Revoke, fault);
    let owner = world.server.handle().core.owner().unwrap();
    owner.names.fence().trip(FenceReason::KeyLost);
    world.server.wait_for(ServerState::Rejoining).await;
    assert_eq!(world.registry.leases(), 3);
    world
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_has_panicked_continues_when_no_name_is_left() {
    for starts in [true, false] {
        let world = a_crowd_whose_supervisor_panics().await;
        world.server.wait_for(ServerState::Serving).await;
        assert_eq!(world.registry.leases(), 1);
        if starts {
            world.start("crowd-0").await.unwrap();
            world.start("crowd-1099").await.unwrap();
        }
        world.server.shutdown().await.unwrap();
        assert_eq!(world.registry.keys(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_leases_that_are_left_to_expire() {
    let world = a_crowd_whose_supervisor_panics().await;
    world.environment.sleep(Duration::from_secs(2)).await;
    let begun = world.environment.now();
    let error = world.server.shutdown().await.unwrap_err();
    assert!(error.not_revoked && error.stuck.is_empty(), "{error}");
    assert!(world.environment.now().since(begun) < MOMENT);
    assert_ne!(world.registry.keys(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_panics_at_the_shutdown_reports_what_is_left() {
    let world = World::new().await;
    world
        .registry
        .inject(MemoryOperation::Revoke, MemoryFault::Panic);
    let error = world.server.shutdown().await.unwrap_err();
    assert!(error.not_revoked);
    assert_eq!(world.server.state(), ServerState::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_cannot_begin_leaves_nothing_behind() {
    let simulation = Simulation::new(7);
    let registry = MemoryRegistry::new(&simulation.environment());
    let server = Server::builder("test", registry.registry());
    let server = server.environment(simulation.exhausted_environment());
    let error = server.bind("127.0.0.1:0").await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Registry, "{error}");
    assert!(error.to_string().contains("thread"), "{error}");
    assert_eq!(registry.keys(), [""; 0]);
    assert_eq!(registry.leases(), 0);
}
