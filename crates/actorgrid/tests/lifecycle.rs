//! Servers that start, stop, and get stuck.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actorgrid::{
    ActorStart, ActorType, Client, EchoMsg, Incoming, Kind, Mailbox, MailboxErrorKind, MessageSet,
    Name, Payload, Registry, RegistryErrorKind, Request, RequestError, RequestErrorKind, Responder,
    Server, ServerErrorKind, ServerState,
};

use tokio::sync::{mpsc, oneshot};
use world::{MemoryWorld, Resource, World, echo_type, eventually, on_both_registries, pass, secs};

on_both_registries! {
    a_shutdown_lets_actors_finish_what_is_queued_and_every_caller_waits_for_it,
    an_actor_that_ignores_its_stop_is_aborted_within_the_bound,
    a_dropped_server_aborts_its_actors_and_ends_all_waits,
    a_request_to_a_peer_that_is_gone_never_runs_and_says_so,
    mistakes_in_the_configuration_are_named,
    a_request_carries_headers_and_what_is_left_of_its_time,
    a_closed_client_says_so,
    a_mailbox_kept_beyond_its_actor_does_not_close_the_next_one,
    a_request_that_its_set_rejects_is_answered_at_once,
}

/// Tests that need real time and a runtime of their own on the memory registry too.
mod real_memory {
    use super::World;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_actor_stuck_in_synchronous_code_is_reported_and_its_name_is_not_released() {
        super::an_actor_stuck_in_synchronous_code_is_reported_and_its_name_is_not_released(
            World::on_real_memory(),
        )
        .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_grid_works_on_a_current_thread_runtime_over_real_sockets() {
        super::a_grid_works_on_a_current_thread_runtime_over_real_sockets(World::on_real_memory())
            .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_task_of_an_actor_that_has_ended_takes_no_step() {
        super::a_task_of_an_actor_that_has_ended_takes_no_step(World::on_real_memory()).await;
    }
}

#[cfg(feature = "etcd")]
mod real_etcd {
    use super::World;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_actor_stuck_in_synchronous_code_is_reported_and_its_name_is_not_released() {
        super::an_actor_stuck_in_synchronous_code_is_reported_and_its_name_is_not_released(
            World::on_etcd().await,
        )
        .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_grid_works_on_a_current_thread_runtime_over_real_sockets() {
        super::a_grid_works_on_a_current_thread_runtime_over_real_sockets(World::on_etcd().await)
            .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_task_of_an_actor_that_has_ended_takes_no_step() {
        super::a_task_of_an_actor_that_has_ended_takes_no_step(World::on_etcd().await).await;
    }
}

async fn a_shutdown_lets_actors_finish_what_is_queued_and_every_caller_waits_for_it(world: World) {
    let (ended, mut order) = mpsc::unbounded_channel();
    let (handles, mut handled) = mpsc::unbounded_channel();
    let report = ended.clone();
    let server = world.server().actor_fn("worker", move |_start, ctx| {
        let (ended, handles) = (ended.clone(), handles.clone());
        async move {
            let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(10).await?;
            while let Some(request) = mailbox.recv().await {
                tokio::time::sleep(secs(1)).await;
                let text = request.message().clone();
                let _ = handles.send(text.msg.clone());
                request.respond(text)?;
            }
            let _ = ended.send("actor");
            Ok(())
        }
    });
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    client
        .start(server.peer(), ActorStart::new("w", "worker"))
        .await
        .unwrap();
    let calls = (0..3).map(|i| {
        client
            .request("w", EchoMsg::new(i.to_string()))
            .wait_for_name()
            .send()
    });
    let shutdown = async |name| {
        pass(Duration::from_millis(500)).await;
        let result = server.handle().shutdown().await;
        let _ = report.send(name);
        result
    };
    let late = async {
        pass(secs(1)).await;
        client
            .request("w", EchoMsg::new("late"))
            .deadline(secs(1))
            .await
    };
    let (answers, one, two, late) = tokio::join!(
        futures_util::future::join_all(calls),
        shutdown("one"),
        shutdown("two"),
        late
    );
    for (i, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap().msg, i.to_string());
    }
    assert_eq!((one, two), (Ok(()), Ok(())));
    // Rejected and repeated until its deadline, at which another try may be under way.
    let late = late.unwrap_err();
    let is_tried = late.kind() == RequestErrorKind::DeadlineExceeded;
    let is_rejected = !late.may_have_executed() && late.is_retryable();
    assert!(is_tried || is_rejected, "{late:?}");
    let handled: Vec<String> = std::iter::from_fn(|| handled.try_recv().ok()).collect();
    assert_eq!(handled, ["0", "1", "2"]);
    assert_eq!(order.try_recv(), Ok("actor"));
    assert_eq!(server.state(), ServerState::Stopped);
    assert_eq!(server.shutdown().await, Ok(()));
    assert_eq!(world.keys(), [""; 0]);
    assert_eq!(world.leases(), 0);
}

async fn an_actor_that_ignores_its_stop_is_aborted_within_the_bound(world: World) {
    let resource = Resource::default();
    let server = world.server().shutdown_timeout(secs(3)).actor_fn("deaf", {
        let resource = resource.clone();
        move |_start, ctx| {
            let resource = resource.clone();
            async move {
                let _holding = resource.hold(ctx.name().as_str(), ctx.token()?);
                std::future::pending().await
            }
        }
    });
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    for name in ["d-1", "d-2"] {
        client
            .start(server.peer(), ActorStart::new(name, "deaf"))
            .await
            .unwrap();
    }
    let begun = world::clock();
    client.stop("d-1").await.unwrap();
    assert!(begun.elapsed() >= secs(3));
    server.shutdown().await.unwrap();
    assert_eq!(["d-1", "d-2"].map(|name| resource.holders(name)), [0, 0]);
    assert!(
        begun.elapsed() < world.bound(secs(8)),
        "{:?}",
        begun.elapsed()
    );
}

/// Needs a real runtime with two workers, one of which is blocked in code that never awaits.
async fn an_actor_stuck_in_synchronous_code_is_reported_and_its_name_is_not_released(world: World) {
    let release = Arc::new(AtomicBool::new(false));
    let begun = Arc::new(AtomicBool::new(false));
    let (stuck, acts) = (release.clone(), begun.clone());
    let server = world
        .server()
        .shutdown_timeout(Duration::from_millis(50))
        .actor_fn("stuck", move |_start, _ctx| {
            let (stuck, acts) = (stuck.clone(), acts.clone());
            async move {
                acts.store(true, Ordering::SeqCst);
                while !stuck.load(Ordering::SeqCst) {
                    std::hint::spin_loop();
                }
                Ok(())
            }
        })
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = world.client();
    client
        .start(server.peer(), ActorStart::new("s", "stuck"))
        .await
        .unwrap();
    // An actor that is asked to stop before it acts does not act.
    eventually("the actor acts", || begun.load(Ordering::SeqCst)).await;
    let error = server.shutdown().await.unwrap_err();
    assert_eq!(
        error
            .stuck
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["s"]
    );
    assert!(error.not_revoked);
    // Nobody else may have the name before the lease has expired.
    assert_eq!(world.keys_of("s").await, ["test.actor.s"]);
    release.store(true, Ordering::SeqCst);
}

async fn a_dropped_server_aborts_its_actors_and_ends_all_waits(world: World) {
    let resource = Resource::default();
    let server = world.server().lease_ttl(secs(5));
    let server = server.actor_type(resource.holder_type("holder"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    client
        .start(server.peer(), ActorStart::new("n", "holder"))
        .await
        .unwrap();
    let handle = server.handle();
    drop(server);
    let error = handle.shutdown().await.unwrap_err();
    assert!(error.not_revoked);
    eventually("the actor is gone", || resource.holders("n") == 0).await;
    let error = refused(|| {
        client
            .start(handle.peer(), ActorStart::new("m", "holder"))
            .deadline(secs(1))
    })
    .await;
    assert!(!error.may_have_executed(), "{error:?}");
    eventually("the lease has expired", || world.keys().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_server_opens_no_mailbox_whatever_its_name() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let handle = server.handle();
    let _kept: Mailbox<Request<EchoMsg>> = server.mailbox("kept", 1).await.unwrap();
    drop(server);
    handle.wait_for(ServerState::Stopped).await;
    for name in ["kept", "new"] {
        let error = handle.mailbox::<Request<EchoMsg>>(name, 1).await;
        assert_eq!(error.unwrap_err().kind(), MailboxErrorKind::Stopping);
    }
}

/// User code that never awaits, until this is dropped.
#[derive(Clone, Default)]
struct Blocked {
    entered: Arc<AtomicBool>,
    released: Arc<AtomicBool>,
}

impl Blocked {
    /// Creates a leader whose mailbox gets its capacity from a function that blocks its thread.
    #[allow(clippy::disallowed_methods)] // that is the point
    fn leader(&self) -> ActorType {
        let (entered, released) = (self.entered.clone(), self.released.clone());
        echo_type("leader").mailbox_with::<Request<EchoMsg>>(move |_start| {
            entered.store(true, Ordering::SeqCst);
            while !released.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            1
        })
    }

    async fn entered(&self) {
        eventually("the function is called", || {
            self.entered.load(Ordering::SeqCst)
        })
        .await;
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.released.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capacity_function_that_blocks_does_not_hold_up_a_shutdown() {
    let world = World::on_real_memory();
    let blocked = Blocked::default();
    let server = world.server().actor_type(blocked.leader());
    let server = server.shutdown_timeout(Duration::from_millis(50));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    blocked.entered().await;
    let ended = tokio::time::timeout(secs(10), server.shutdown()).await;
    let error = ended
        .expect("the shutdown waits for user code")
        .unwrap_err();
    assert_eq!(error.stuck, [Name::new("leader").unwrap()]);
    assert!(error.not_revoked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capacity_function_that_blocks_does_not_hold_up_the_end_of_a_fenced_session() {
    let world = World::on_real_memory();
    let blocked = Blocked::default();
    let server = world.server().actor_type(blocked.leader());
    let server = server.lease_ttl(secs(5)).shutdown_timeout(secs(1));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    blocked.entered().await;
    world.expire_leases();
    eventually("the session is fenced", || server.fence_reason().is_some()).await;
    let served = tokio::time::timeout(secs(20), server.wait_for(ServerState::Serving)).await;
    served.expect("the end of the session waits for user code");
    // The name is free once the function has returned, and not before.
    let sessions = server.statistics().sessions;
    assert_eq!((sessions, server.statistics().actors_started), (2, 0));
    blocked.released.store(true, Ordering::SeqCst);
    eventually("the leader runs", || {
        server.statistics().actors_started == 1
    })
    .await;
    server.shutdown().await.unwrap();
}

/// Returns how a request fails once the connection has broken. Over sockets, a request may be in
/// flight when it breaks, and its outcome is unknown then.
async fn refused<R: IntoFuture<Output = Result<T, RequestError>>, T: Debug>(
    request: impl Fn() -> R,
) -> RequestError {
    loop {
        let error = request().await.unwrap_err();
        if error.kind() != RequestErrorKind::ConnectionLost {
            return error;
        }
    }
}

async fn a_request_to_a_peer_that_is_gone_never_runs_and_says_so(world: World) {
    let server = world
        .server()
        .actor_type(echo_type("echo"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = world.client();
    client
        .start(server.peer(), ActorStart::new("a", "echo"))
        .await
        .unwrap();
    client.request("a", EchoMsg::new("warm")).await.unwrap();
    drop(server);
    pass(Duration::from_millis(1)).await;
    let error = refused(|| client.request("a", EchoMsg::new("x")).deadline(secs(2))).await;
    assert_eq!(error.kind(), RequestErrorKind::Unreachable, "{error:?}");
    assert!(!error.may_have_executed() && error.is_retryable());
}

async fn mistakes_in_the_configuration_are_named(world: World) {
    let registry = || world.registry();
    let server =
        |namespace: &str| Server::builder(namespace, registry()).environment(world.environment());
    for (builder, setting) in [
        (server("no.dots"), "namespace"),
        (
            server("g").lease_ttl(Duration::from_millis(4_999)),
            "lease_ttl",
        ),
        (server("g").lease_ttl(Duration::ZERO), "lease_ttl"),
        (
            server("g").constructor_timeout(Duration::ZERO),
            "constructor_timeout",
        ),
        (
            server("g").constructor_timeout(secs(3_601)),
            "constructor_timeout",
        ),
        (
            server("g").max_stall(Duration::from_millis(999)),
            "max_stall",
        ),
        (server("g").max_stall(secs(3_601)), "max_stall"),
        (server("g").max_message_bytes(0), "max_message_bytes"),
        (server("g").actor_type(echo_type("a.b")), "actor type"),
        (
            server("g")
                .actor_type(echo_type("a"))
                .actor_type(echo_type("a")),
            "registered twice",
        ),
        (server("g").annotation("x".repeat(257)), "annotation"),
        (server("g").advertise("0.0.0.0:1"), "advertise"),
        (server("g").advertise("nonsense"), "advertise"),
    ] {
        let error = builder.bind("127.0.0.1:0").await.unwrap_err();
        assert_eq!(error.kind(), ServerErrorKind::Configuration, "{error}");
        assert!(error.to_string().contains(setting), "{error}");
        assert!(!error.is_retryable());
    }
    let error = server("g").bind("0.0.0.0:0").await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Configuration);
    assert!(error.to_string().contains("advertised address"), "{error}");
    assert_eq!(
        server("g").bind("nonsense").await.unwrap_err().kind(),
        ServerErrorKind::Listen
    );
    let advertised = server("g")
        .advertise("127.0.0.1:0")
        .bind("0.0.0.0:0")
        .await
        .unwrap();
    assert!(advertised.address().to_string().starts_with("127.0.0.1:"));

    let error = Registry::connect("redis://x").await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Url);
    let client = Client::new("no.dots", registry());
    assert_eq!(
        client.query(Kind::Peer).await.unwrap_err().kind(),
        RequestErrorKind::InvalidName
    );
    let error = client.request("a", EchoMsg::new("x")).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::InvalidName);
    let mailbox = advertised
        .mailbox::<Request<EchoMsg>>("m", 0)
        .await
        .unwrap_err();
    assert_eq!(mailbox.kind(), MailboxErrorKind::Capacity);
    let mailbox = advertised
        .mailbox::<Request<EchoMsg>>("m.m", 1)
        .await
        .unwrap_err();
    assert_eq!(mailbox.kind(), MailboxErrorKind::InvalidName);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_refuses_fails_a_start_and_leaves_nothing() {
    let world = MemoryWorld::new();
    world.registry.set_refusing(true);
    let error = world.server().bind("127.0.0.1:0").await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Registry);
    world.registry.set_refusing(false);
    assert_eq!(world.registry.leases(), 0);
    world.registry.set_away(true);
    let error = world.server().bind("127.0.0.1:0").await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Registry);
}

async fn a_request_carries_headers_and_what_is_left_of_its_time(world: World) {
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let mut mailbox = server.mailbox::<Request<Payload>>("m", 5).await.unwrap();
    for client in [server.client().clone(), world.client()] {
        let request = client
            .request("m", EchoMsg::new("x"))
            .header("traceparent", "00-1")
            .header("tenant", "blau & grün")
            .deadline(secs(7));
        let (answer, ()) = tokio::join!(request.send(), async {
            let request = mailbox.recv().await.unwrap();
            assert_eq!(request.header("traceparent"), Some("00-1"));
            assert_eq!(request.header("tenant"), Some("blau & grün"));
            let left = request.deadline().remaining();
            assert!(left > secs(6) && left < secs(8), "{left:?}");
            let echo = request.message().clone();
            request.respond(echo).unwrap();
        });
        // The receiver answered with the type that the message declares.
        assert_eq!(answer.unwrap().msg, "x");
        let (answer, ()) = tokio::join!(
            client
                .request("m", EchoMsg::new("x"))
                .expecting::<actorgrid::Ack>()
                .send(),
            async {
                let request = mailbox.recv().await.unwrap();
                let echo = request.message().clone();
                request.respond(echo).unwrap();
            }
        );
        assert_eq!(
            answer.unwrap_err().kind(),
            RequestErrorKind::UnexpectedReply
        );
        let error = client
            .request("m", EchoMsg::new("x"))
            .header("Bad Name", "")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::InvalidHeaders);
    }
}

async fn a_closed_client_says_so(world: World) {
    let server = world
        .server()
        .actor_type(echo_type("echo"))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let client = world.client();
    client
        .start(server.peer(), ActorStart::new("a", "echo"))
        .await
        .unwrap();
    client.request("a", EchoMsg::new("x")).await.unwrap();
    client.clone().close().await;
    let error = client.request("a", EchoMsg::new("x")).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::ClientClosed);
    assert!(!error.may_have_executed() && !error.is_retryable());
}

/// Needs real sockets and one thread: nothing may need a second one.
async fn a_grid_works_on_a_current_thread_runtime_over_real_sockets(world: World) {
    let server = world.server().actor_type(echo_type("echo"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server.listener(listener).await.unwrap();
    let client = world.client();
    client
        .start(server.peer(), ActorStart::new("a", "echo"))
        .await
        .unwrap();
    let calls = (0..200).map(|i| client.request("a", EchoMsg::new(i.to_string())).send());
    for (i, answer) in futures_util::future::join_all(calls)
        .await
        .into_iter()
        .enumerate()
    {
        assert_eq!(answer.unwrap().msg, format!("{i} from a"));
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let running = server.run_until(stopped);
    drop(stop);
    running.await.unwrap();
    client.close().await;
}

/// A mailbox that outlives its actor belongs to nobody: dropped late, it must not touch the mailbox
/// of the actor that has the name by then.
async fn a_mailbox_kept_beyond_its_actor_does_not_close_the_next_one(world: World) {
    let (keep, mut kept) = mpsc::unbounded_channel();
    let leaver = ActorType::from_fn("leaver", move |_start, ctx| {
        let keep = keep.clone();
        async move {
            keep.send(ctx.mailbox::<Request<EchoMsg>>(1).await?)?;
            Ok(())
        }
    });
    let server = world
        .server()
        .actor_type(leaver.mailbox::<Request<EchoMsg>>(1))
        .actor_type(echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let start = async |actor_type| {
        let start = client.start(server.peer(), ActorStart::new("a", actor_type));
        start.await.unwrap();
    };
    start("leaver").await;
    let old = kept.recv().await.unwrap();
    world.until_free("a").await;
    start("echo").await;
    drop(old);
    let answer = client.request("a", EchoMsg::new("x")).await.unwrap();
    assert_eq!(answer.msg, "x from a");
    client.stop("a").await.unwrap();
    start("echo").await;
}

/// A start that waits until a mailbox of its name is decided does not count as a stuck actor.
#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_start_that_waits() {
    let world = MemoryWorld::new();
    let server = world
        .server()
        .shutdown_timeout(secs(3))
        .actor_type(echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    world.registry.set_away(true);
    let begun = world::clock();
    let start = server
        .client()
        .start(server.peer(), ActorStart::new("n", "echo"));
    let (mailbox, started, (ended, after)) = tokio::join!(
        server.mailbox::<Request<EchoMsg>>("n", 1),
        start.send(),
        async {
            pass(Duration::from_millis(100)).await;
            let ended = server.shutdown().await;
            (ended, begun.elapsed())
        }
    );
    assert_eq!(mailbox.unwrap_err().kind(), MailboxErrorKind::Stopping);
    let started = started.unwrap_err();
    assert!(!started.may_have_executed(), "{started:?}");
    let error = ended.unwrap_err();
    assert!(error.not_revoked && error.stuck.is_empty(), "{error:?}");
    assert!(after < secs(3), "{after:?}");
}

/// A hand-written message set that reads some requests and rejects others.
struct ReadsSome(Request<EchoMsg>);

impl MessageSet for ReadsSome {
    const WIRE_NAMES: &'static [&'static str] = Request::<EchoMsg>::WIRE_NAMES;

    fn accepts(wire_name: &str) -> bool {
        Request::<EchoMsg>::accepts(wire_name)
    }

    fn receive(incoming: Incoming) -> Option<Self> {
        Request::receive(incoming)
            .filter(|request: &Request<EchoMsg>| request.message().msg != "rejected")
            .map(Self)
    }

    fn wire_name(&self) -> &str {
        self.0.wire_name()
    }

    fn into_responder(self) -> Responder<Payload> {
        self.0.into_responder()
    }

    fn pending(&mut self) -> &mut actorgrid::__private::Pending {
        self.0.pending()
    }
}

async fn a_request_that_its_set_rejects_is_answered_at_once(world: World) {
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let mut mailbox = server.mailbox::<ReadsSome>("m", 5).await.unwrap();
    let ask = |text: &str| server.client().request("m", EchoMsg::new(text)).send();
    let (rejected, read, ()) = tokio::join!(ask("rejected"), ask("read"), async {
        let request = mailbox.recv().await.unwrap();
        request.0.respond(EchoMsg::new("yes")).unwrap();
    });
    let error = rejected.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::InvalidMessage);
    assert!(!error.may_have_executed(), "{error:?}");
    assert_eq!(read.unwrap().msg, "yes");
}

/// Needs real workers: one of them might take the task over before it is cancelled.
async fn a_task_of_an_actor_that_has_ended_takes_no_step(world: World) {
    let (sender, mut contexts) = mpsc::unbounded_channel();
    let server = world.server().actor_fn("short", move |_start, ctx| {
        let _ = sender.send(ctx);
        async { Ok(()) }
    });
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    client
        .start(server.peer(), ActorStart::new("s", "short"))
        .await
        .unwrap();
    let ctx = contexts.recv().await.unwrap();
    // Returns only when the actor has ended.
    client.stop("s").await.ok();
    let steps = Arc::new(AtomicUsize::new(0));
    for _ in 0..20_000 {
        let steps = steps.clone();
        ctx.spawn(async move {
            steps.fetch_add(1, Ordering::SeqCst);
        });
    }
    server.shutdown().await.unwrap();
    assert_eq!(steps.load(Ordering::SeqCst), 0);
}
