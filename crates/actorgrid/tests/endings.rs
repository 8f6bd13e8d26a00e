//! How actors, starts that fail, and mailboxes end: what is answered, released and reported.

#![allow(clippy::unwrap_used)] // also in the helpers of the tests

mod world;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actorgrid::{
    Actor, ActorContext, ActorResult, ActorStart, ActorType, BoxError, RequestErrorKind,
    ServerEvent,
};
use world::{MemoryWorld, World, eventually, pass, secs};

/// Actors that end when they are to stop, or at once, and leave a task behind that blocks its
/// worker until the sender is dropped; and whether it does by now.
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
            eventually("it blocks", || blocks.load(Ordering::SeqCst)).await;
            if !at_once {
                ctx.stopping().await;
            }
            Ok(())
        }
    });
    (leaves, blocked, release)
}

/// Real workers: the task blocks one of them, so no abort ends it.
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
    eventually("it blocks", || blocked.load(Ordering::SeqCst)).await;
    let error = client.stop("s").await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::StopFailed, "{error}");
    assert!(error.text().contains("task of the actor s"), "{error}");
    let error = server.shutdown().await.unwrap_err();
    let stuck: Vec<_> = error.stuck.iter().map(ToString::to_string).collect();
    assert_eq!(stuck, ["s"]);
    assert!(error.not_revoked);
}

/// The test below is run once more in a process of its own if this is set.
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

/// Its drop panics, if it has not acted.
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
    // The order comes while the constructor runs, so the actor does not act.
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
