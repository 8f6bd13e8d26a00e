//! How actors, failed starts and mailboxes end: what is answered, released and reported.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actorgrid::{
    Actor, ActorContext, ActorResult, ActorStart, ActorType, BoxActor, BoxError, EchoMsg,
    FenceReason, Mailbox, MemoryFault, MemoryOperation, Request, RequestErrorKind, ServerEvent,
    TokenExpired,
};
use tokio::sync::mpsc;
use world::{MemoryWorld, World, echo_type, eventually, on_both_registries, pass, secs};

on_both_registries! {
    a_failed_start_is_answered_when_its_name_is_free,
    an_actor_that_ended_by_itself_does_not_keep_the_next_one_from_its_name,
    a_shutdown_waits_for_what_the_mailboxes_of_a_server_have_taken,
}

/// Creates an actor type whose constructors fail as the start message says.
fn failing() -> ActorType {
    ActorType::new("failing", async |start: ActorStart| {
        match start.decode::<EchoMsg>()?.msg.as_str() {
            "fails" => Err::<BoxActor, BoxError>("on purpose".into()),
            "panics" => panic!("on purpose"),
            _ => std::future::pending().await,
        }
    })
}

fn fails(name: &str, how: &str) -> ActorStart {
    ActorStart::new(name, "failing").message(&EchoMsg::new(how))
}

async fn a_failed_start_is_answered_when_its_name_is_free(world: World) {
    let server = || {
        let server = world.server().actor_type(failing());
        let server = server.actor_type(echo_type("echo"));
        let server = server.constructor_timeout(Duration::from_millis(20));
        server.bind("127.0.0.1:0")
    };
    let (one, two) = (server().await.unwrap(), server().await.unwrap());
    let client = world.client();
    for round in 0..10 {
        for how in ["fails", "panics", "hangs"] {
            let error = client.start(one.peer(), fails("n", how)).await.unwrap_err();
            assert_eq!(error.kind(), RequestErrorKind::StartFailed, "{error}");
            let next = [&one, &two][round % 2];
            let start = ActorStart::new("n", "echo");
            client.start(next.peer(), start).once().await.unwrap();
            client.stop("n").await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_waits_for_a_slow_release() {
    let world = MemoryWorld::new();
    let server = world.server().actor_type(failing());
    let server = server.actor_type(echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = server.client();
    let slow = Duration::from_millis(700);
    let delay = MemoryFault::Delay(slow);
    world.registry.inject(MemoryOperation::Release, delay);
    let begun = world::clock();
    let failed = client.start(server.peer(), fails("n", "fails"));
    // Meanwhile another start of this name on the same peer succeeds once the name is free.
    let other = async {
        pass(slow / 2).await;
        let other = client.start(server.peer(), ActorStart::new("n", "echo"));
        other.once().await
    };
    let (failed, other) = tokio::join!(failed.send(), other);
    assert_eq!(failed.unwrap_err().kind(), RequestErrorKind::StartFailed);
    other.unwrap();
    assert!(begun.elapsed() >= slow);
}

/// The registry accepts no release for about four seconds.
#[tokio::test(start_paused = true)]
async fn a_name_that_is_not_released_by_the_deadline_is_an_error_of_its_own() {
    let world = MemoryWorld::new();
    let server = world.server().actor_type(failing());
    let server = server.actor_type(echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    for how in ["fails", "panics"] {
        // The second fault applies once the first one has used up its time, after two seconds.
        for _ in 0..2 {
            let away = MemoryFault::Delay(secs(5));
            world.registry.inject(MemoryOperation::Release, away);
        }
        let begun = world::clock();
        let failed = client.start(server.peer(), fails("n", how));
        let failed = failed.deadline(secs(2)).await.unwrap_err();
        assert_eq!(failed.kind(), RequestErrorKind::NotReleased, "{failed}");
        assert!(failed.may_have_executed() && failed.is_retryable());
        assert!(failed.text().contains("on purpose"), "{failed}");
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(1_700) && took < secs(2));

        let start = || client.start(server.peer(), ActorStart::new("n", "echo"));
        let refused = start().deadline(secs(1)).await.unwrap_err();
        assert_eq!(refused.kind(), RequestErrorKind::NotReleased, "{refused}");
        assert!(!refused.may_have_executed() && refused.is_retryable());
        // This start waits as long as its deadline allows.
        start().deadline(secs(10)).await.unwrap();
        client.stop("n").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_behind_one_whose_name_is_not_decided_is_answered_by_its_deadline() {
    let world = MemoryWorld::new();
    let server = world.server().actor_type(echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let start = |name| client.start(server.peer(), ActorStart::new(name, "echo"));
    // Now the client knows where the peer is.
    start("other").await.unwrap();
    world.registry.set_away(true);
    let (first, ()) = tokio::join!(start("n").deadline(secs(20)).send(), async {
        pass(secs(1)).await;
        let begun = world::clock();
        let refused = start("n").deadline(secs(1)).await.unwrap_err();
        assert_eq!(refused.kind(), RequestErrorKind::NotReleased, "{refused}");
        assert!(!refused.may_have_executed() && refused.is_retryable());
        assert!(begun.elapsed() < secs(1));
        world.registry.set_away(false);
    });
    first.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_start_that_a_fence_or_a_shutdown_cuts_short_does_not_say_that_its_name_is_free() {
    for shuts_down in [false, true] {
        let world = MemoryWorld::new();
        let server = world.server().actor_type(failing());
        let server = server.shutdown_timeout(secs(1)).lease_ttl(secs(15));
        let server = server.bind("127.0.0.1:0").await.unwrap();
        let start = server.client().start(server.peer(), fails("n", "hangs"));
        let start = start.deadline(secs(60)).once().send();
        let (failed, ()) = tokio::join!(start, async {
            pass(secs(1)).await;
            if shuts_down {
                let slow = MemoryFault::Delay(Duration::from_millis(500));
                world.registry.inject(MemoryOperation::Release, slow);
                server.shutdown().await.unwrap();
            } else {
                world.registry.set_away(true);
            }
        });
        let failed = failed.unwrap_err();
        // A fenced peer sends no answers.
        let expected = match shuts_down {
            true => RequestErrorKind::NotReleased,
            false => RequestErrorKind::NoReply,
        };
        assert_eq!(failed.kind(), expected, "{failed}");
        assert!(failed.may_have_executed() && failed.is_retryable());
    }
}

/// The leader fails once, and its release is slow.
#[tokio::test(start_paused = true)]
async fn a_leader_that_failed_is_started_again_when_its_name_is_free() {
    let world = MemoryWorld::new();
    let failed = Arc::new(AtomicBool::new(false));
    let leader = ActorType::new("leader", move |start| {
        let fails = !failed.swap(true, Ordering::SeqCst);
        async move {
            match fails {
                true => Err("on purpose".into()),
                false => Ok(Waits(start).boxed()),
            }
        }
    });
    let slow = MemoryFault::Delay(Duration::from_millis(700));
    world.registry.inject(MemoryOperation::Release, slow);
    let server = world.server().actor_type(leader);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    eventually("the leader runs", || {
        server.statistics().actors_running == 1
    })
    .await;
    let counted = server.statistics();
    assert_eq!((counted.starts_failed, counted.starts_refused), (1, 0));
}

struct Waits(#[allow(dead_code)] ActorStart);

impl Actor for Waits {
    async fn act(self, ctx: ActorContext) -> ActorResult {
        ctx.stopping().await;
        Ok(())
    }
}

async fn an_actor_that_ended_by_itself_does_not_keep_the_next_one_from_its_name(world: World) {
    let (ends, mut ended) = mpsc::unbounded_channel();
    let server = world.server().actor_fn("short", move |_start, _ctx| {
        let ends = ends.clone();
        async move { Ok(ends.send(())?) }
    });
    let server = server.bind("127.0.0.1:0").await.unwrap();
    for _ in 0..50 {
        let start = ActorStart::new("n", "short");
        let start = server.client().start(server.peer(), start);
        start.once().await.unwrap();
        ended.recv().await.unwrap();
        // Its name is taken until its peer has noticed that it ended.
        eventually("the actor has ended", || {
            server.statistics().actors_running == 0
        })
        .await;
    }
}

/// Answers each request after this time, until the mailbox closes.
async fn answer_slowly(mut mailbox: Mailbox<Request<EchoMsg>>, time: Duration) {
    while let Some(request) = mailbox.recv().await {
        pass(time).await;
        let _ = request.respond(EchoMsg::new("answered"));
    }
}

async fn a_shutdown_waits_for_what_the_mailboxes_of_a_server_have_taken(world: World) {
    let server = world.server().shutdown_timeout(secs(20));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let mailbox = server.mailbox("m", 5).await.unwrap();
    // This mailbox is empty, so the shutdown does not wait for its owner.
    let _idle: Mailbox<Request<EchoMsg>> = server.mailbox("idle", 5).await.unwrap();
    let slow = Duration::from_millis(1_500);
    let call = || client.request("m", EchoMsg::new("x")).deadline(secs(20));
    let (one, two, (), (ended, took)) = tokio::join!(
        call().send(),
        call().send(),
        answer_slowly(mailbox, slow),
        async {
            eventually("both requests are queued", || {
                server.statistics().requests_admitted == 2
            })
            .await;
            let begun = world::clock();
            let ended = server.shutdown().await;
            (ended, begun.elapsed())
        }
    );
    assert_eq!(one.unwrap().msg, "answered");
    assert_eq!(two.unwrap().msg, "answered");
    ended.unwrap();
    assert!(took > 2 * slow - Duration::from_millis(50), "{took:?}");
    assert!(took < world.bound(2 * slow + secs(1)), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_mailboxes_beyond_its_timeout() {
    let world = MemoryWorld::new();
    let server = world.server().shutdown_timeout(secs(3));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let mut mailbox: Mailbox<Request<EchoMsg>> = server.mailbox("m", 5).await.unwrap();
    let call = || client.request("m", EchoMsg::new("x")).deadline(secs(20));
    let (taken, queued, took) = tokio::join!(call().send(), call().send(), async {
        let taken = mailbox.recv().await.unwrap();
        eventually("both requests are queued", || {
            server.statistics().requests_admitted == 2
        })
        .await;
        let begun = world::clock();
        server.shutdown().await.unwrap();
        let took = begun.elapsed();
        assert!(mailbox.recv().await.is_none(), "the mailbox has ended");
        drop(taken);
        took
    });
    assert!(taken.is_err() && queued.is_err());
    assert!(took >= secs(3) && took < secs(5), "{took:?}");
}

/// Creates actors that end when asked to stop, or at once, and leave behind a task that blocks its
/// worker until the sender is dropped. Also returns whether a task blocks already.
fn leaves_a_task(at_once: bool) -> (ActorType, Arc<AtomicBool>, std::sync::mpsc::Sender<()>) {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (released, blocked) = (Arc::new(Mutex::new(released)), Arc::default());
    let blocks: Arc<AtomicBool> = Arc::clone(&blocked);
    let leaves = ActorType::from_fn("leaves", move |_start, ctx: ActorContext| {
        let (released, blocks) = (released.clone(), blocks.clone());
        async move {
            let blocking = blocks.clone();
            ctx.spawn(async move {
                blocking.store(true, Ordering::SeqCst);
                let _ = released.lock().unwrap().recv();
            });
            eventually("the task blocks", || blocks.load(Ordering::SeqCst)).await;
            if !at_once {
                ctx.stopping().await;
            }
            Ok(())
        }
    });
    (leaves, blocked, release)
}

/// Needs real workers: the task blocks one of them, so no abort ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_of_an_actor_that_does_not_end_is_reported() {
    let world = World::on_real_memory();
    let (leaves, blocked, _release) = leaves_a_task(false);
    let server = world.server().actor_type(leaves);
    let server = server.shutdown_timeout(Duration::from_millis(50));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = server.client();
    let start = ActorStart::new("s", "leaves");
    client.start(server.peer(), start).await.unwrap();
    eventually("the task blocks", || blocked.load(Ordering::SeqCst)).await;
    let error = client.stop("s").await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::StopFailed, "{error}");
    assert!(
        error.text().contains("a task that the actor s spawned"),
        "{error}"
    );
    let error = server.shutdown().await.unwrap_err();
    let stuck: Vec<_> = error.stuck.iter().map(ToString::to_string).collect();
    assert_eq!(stuck, ["s"]);
    assert!(error.not_revoked);
}

/// If this variable is set, the test below runs as the child process that is to be aborted.
#[cfg(unix)]
const ABORTS: &str = "ACTORGRID_TEST_ABORTS";

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_is_aborted_for_a_task_that_does_not_end_if_that_is_asked_for() {
    use std::os::unix::process::ExitStatusExt as _;
    let name = "a_process_is_aborted_for_a_task_that_does_not_end_if_that_is_asked_for";
    if std::env::var_os(ABORTS).is_none() {
        let itself = std::env::current_exe().unwrap();
        let mut process = std::process::Command::new(itself);
        let output = process.args(["--exact", name]).env(ABORTS, "1").output();
        let output = output.unwrap();
        assert!(output.status.signal().is_some(), "{output:?}");
        return;
    }
    let world = World::on_real_memory();
    let (leaves, _, _release) = leaves_a_task(true);
    let server = world.server().actor_type(leaves).abort_process_when_stuck();
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let start = ActorStart::new("s", "leaves");
    let client = server.client();
    client.start(server.peer(), start).await.unwrap();
    pass(secs(30)).await;
}

/// Panics when it is dropped without having acted.
struct Explosive {
    acted: bool,
    dropped: Arc<AtomicUsize>,
}

impl Actor for Explosive {
    async fn act(mut self, ctx: ActorContext) -> ActorResult {
        self.acted = true;
        ctx.stopping().await;
        Ok(())
    }
}

impl Drop for Explosive {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
        assert!(self.acted, "on purpose");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_drop_of_an_actor_that_never_ran_is_caught() {
    let world = MemoryWorld::new();
    let dropped = Arc::new(AtomicUsize::new(0));
    let drops = dropped.clone();
    let explosive = ActorType::new("explosive", move |_start| {
        let dropped = drops.clone();
        async move {
            pass(secs(1)).await;
            let acted = false;
            Ok::<_, BoxError>(Explosive { acted, dropped })
        }
    });
    let server = world.server().actor_type(explosive);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = server.client();
    let mut events = server.events();
    let start = client.start(server.peer(), ActorStart::new("n", "explosive"));
    // The order to stop arrives while the constructor runs, so the actor does not act.
    let (started, stopped) = tokio::join!(start.send(), async {
        pass(Duration::from_millis(500)).await;
        client.stop("n").await
    });
    stopped.unwrap();
    started.unwrap();
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    let counted = server.statistics();
    let counted = (counted.actors_started, counted.actors_ended);
    assert_eq!(counted, (1, 1));
    assert_eq!(server.statistics().actor_panics, 1);
    assert_eq!(world.keys_of("n").await, [""; 0]);
    loop {
        if let ServerEvent::ActorEnded { name, .. } = events.next().await.unwrap() {
            assert_eq!(name.as_str(), "n");
            break;
        }
    }
    server.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_context_gives_no_token_when_its_actor_has_ended() {
    let world = World::on_memory();
    let (sender, mut contexts) = mpsc::unbounded_channel();
    let server = world.server().actor_fn("keeps", move |_start, ctx| {
        let sender = sender.clone();
        async move {
            sender.send(ctx.clone())?;
            ctx.stopping().await;
            Ok(())
        }
    });
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = server.client();
    let start = ActorStart::new("n", "keeps");
    client.start(server.peer(), start).await.unwrap();
    let ctx: ActorContext = contexts.recv().await.unwrap();
    ctx.token().unwrap();
    client.stop("n").await.unwrap();
    assert_eq!(ctx.token(), Err(TokenExpired::Ended));
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_gives_no_token_when_its_owner_has_ended_or_its_peer_is_fenced() {
    type Boxed = Mailbox<Request<EchoMsg>>;
    let world = MemoryWorld::new();
    let (sender, mut mailboxes) = mpsc::unbounded_channel();
    let environment = world.environment();
    let server = world.server_in(environment.clone()).lease_ttl(secs(15));
    let server = server.actor_fn("gives", move |_start, ctx: ActorContext| {
        let sender = sender.clone();
        async move {
            sender.send(ctx.mailbox::<Request<EchoMsg>>(1).await?)?;
            ctx.stopping().await;
            Ok(())
        }
    });
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = server.client();
    let start = ActorStart::new("n", "gives");
    client.start(server.peer(), start).await.unwrap();
    let of_actor: Boxed = mailboxes.recv().await.unwrap();
    let of_server: Boxed = server.mailbox("m", 1).await.unwrap();
    assert!(of_actor.token().unwrap() < of_server.token().unwrap());
    client.stop("n").await.unwrap();
    assert_eq!(of_actor.token(), Err(TokenExpired::Ended));
    of_server.token().unwrap();

    // The process is paused: nothing else has run since.
    world.simulation.jump(&environment, secs(11));
    let fenced = TokenExpired::Fenced(FenceReason::Deadline);
    assert_eq!(of_server.token(), Err(fenced));
    eventually("the server has rejoined", || {
        server.statistics().sessions == 2
    })
    .await;
    // Opened under another name: the first mailbox keeps its name here until it is dropped.
    let of_server: Boxed = server.mailbox("m-2", 1).await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(of_server.token(), Err(TokenExpired::Ended));
}
