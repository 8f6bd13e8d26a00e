//! Sessions whose own tasks die, or cannot begin.

use std::time::Duration;

use crate::environment::{Environment, Simulation};
use crate::message::{ActorStart, EchoMsg};
use crate::registry::{MemoryFault, MemoryOperation, MemoryRegistry};
use crate::request::Request;
use crate::server::{ActorType, Server, ServerErrorKind, ServerEvent, ServerEvents, ServerState};
use crate::session::FenceReason;

const TTL: Duration = Duration::from_secs(15);

struct World {
    environment: Environment,
    registry: MemoryRegistry,
    server: Server,
    events: ServerEvents,
}

impl World {
    /// A server with an actor, at a time at which no renewal is due.
    async fn new() -> Self {
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
        let server = server.bind("127.0.0.1:0").await.unwrap();
        let world = Self {
            events: server.events(),
            environment,
            registry,
            server,
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
        // A little more, so that timers which end together do.
        let bound = bound + Duration::from_millis(2);
        let state = self.environment.timeout(bound, fenced).await;
        let died = (ServerState::Fenced, Some(FenceReason::TaskDied));
        assert_eq!(state, Some(died));
        let fenced = self.environment.now();
        self.server.wait_for(ServerState::Serving).await;
        // The lease of the session that ended is revoked, and not waited for.
        assert!(self.environment.now().since(fenced) < Duration::from_secs(1));
        assert_eq!(self.registry.leases(), 1);
        assert_eq!(self.server.statistics().sessions, 2);
        assert_eq!(self.server.statistics().actors_running, 0);
        self.start("a").await.unwrap();
        self.environment.sleep(3 * TTL).await;
        assert_eq!(self.server.state(), ServerState::Serving);
    }
}

/// Two actors, each of which looks for its stop order while it waits for a request.
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
    // All of them hear of the fence at once.
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
