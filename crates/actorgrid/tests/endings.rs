//! How actors, starts that fail, and mailboxes end: what is answered, released and reported.

#![allow(clippy::unwrap_used)] // also in the helpers of the tests

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actorgrid::{Actor, ActorContext, ActorResult, ActorStart, ActorType, BoxError, ServerEvent};
use world::{MemoryWorld, pass, secs};

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
