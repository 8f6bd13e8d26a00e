//! A peer that is frozen for a while, as a calling process and as the peer see it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::link::{Calling, LinkedWorld, calling, linked};
use crate::address::Address;
use crate::environment::{Environment, Socket};
use crate::error::{Executed, RequestErrorKind as Kind};
use crate::message::EchoMsg;
use crate::route::Incoming;
use crate::route::Route as _;
use crate::route::calling::PeerRoute;
use crate::route::conformance::call;
use crate::route::meta::RequestId;

/// The network between clients and a server, where each connection can be held up.
struct HeldPath {
    address: Address,
    /// Whether connections are held up, in the order in which they were made.
    held: Arc<Mutex<Vec<watch::Sender<bool>>>>,
    /// Whether later ones are.
    hold_later: Arc<AtomicBool>,
}

impl HeldPath {
    async fn new(environment: &Environment, server: Address) -> Self {
        let port = "127.0.0.1:0".parse().unwrap();
        let mut listener = environment.listen(port).await.unwrap();
        let path = Self {
            address: listener.local_addr().unwrap().try_into().unwrap(),
            held: Arc::default(),
            hold_later: Arc::default(),
        };
        let (held, hold_later) = (path.held.clone(), path.hold_later.clone());
        let on = environment.clone();
        environment.spawn(async move {
            while let Ok(client) = listener.accept().await {
                let server = on.connect(&server).await.unwrap();
                let hold = watch::Sender::new(hold_later.load(Ordering::Relaxed));
                let (reads, writes) = tokio::io::split(client);
                let (server_reads, server_writes) = tokio::io::split(server);
                on.spawn(forward(reads, server_writes, hold.subscribe()));
                on.spawn(forward(server_reads, writes, hold.subscribe()));
                held.lock().unwrap().push(hold);
            }
        });
        path
    }

    /// Holds up all connections, as the network of a process that is stopped does.
    fn hold(&self) {
        self.hold_later.store(true, Ordering::Relaxed);
        for hold in &*self.held.lock().unwrap() {
            hold.send_replace(true);
        }
    }

    /// Lets all connections so far go on.
    fn release_all(&self) {
        for hold in &*self.held.lock().unwrap() {
            hold.send_replace(false);
        }
    }
}

async fn forward(
    mut from: ReadHalf<Socket>,
    mut to: WriteHalf<Socket>,
    mut held: watch::Receiver<bool>,
) {
    let mut bytes = [0; 4096];
    loop {
        let read = from.read(&mut bytes).await.unwrap_or(0);
        let _ = held.wait_for(|held| !held).await;
        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}

/// Calls the mailbox `a` with a request of this id.
fn numbered(route: &PeerRoute, id: u128) -> Calling {
    let route = route.clone();
    let mut call = call("a", EchoMsg::default());
    call.meta.token = Some("1:1".parse().unwrap());
    call.meta.id = RequestId(id);
    Box::pin(async move {
        let answer = route.call(&mut call).await;
        (call, answer)
    })
}

/// The ids of the requests in the queue of a mailbox.
fn ids(queued: &Mutex<Vec<Incoming>>) -> Vec<u128> {
    let queued = queued.lock().unwrap();
    queued.iter().map(|incoming| incoming.meta().id.0).collect()
}

/// Freezes a peer for four seconds. Then what was sent to it arrives: over the older link first, or
/// over the newer one.
async fn freeze(older_first: bool) {
    const FROZEN: Duration = Duration::from_secs(4);
    let [queued, unread, unsent, later] = [1, 2, 3, 4];
    let world = LinkedWorld::new().await;
    let environment = &world.environment;
    let queue = world.house.unread("a");
    let path = HeldPath::new(environment, world.address.clone()).await;
    let route = linked(&world.pool, &path.address);
    calling(&route, "echo", "opens the link").await.1.unwrap();
    let mut lost = vec![environment.spawn(numbered(&route, queued))];
    while ids(&queue) != [queued] {
        tokio::task::yield_now().await;
    }
    path.hold();
    let begun = environment.now();
    lost.push(environment.spawn(numbered(&route, unread)));
    for call in lost {
        let (call, answer) = call.await.unwrap();
        let outcome = (answer.unwrap_err().kind(), call.executed);
        assert_eq!(outcome, (Kind::ConnectionLost, Executed::Maybe));
    }
    // Nothing gets to it meanwhile, also not over gRPC.
    while environment.now().since(begun) < FROZEN {
        let began = environment.now();
        let (call, answer) = numbered(&route, unsent).await;
        let outcome = (answer.unwrap_err().kind(), call.executed);
        assert_eq!(outcome, (Kind::Unreachable, Executed::No));
        let took = environment.now().since(began);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    if older_first {
        path.release_all();
    }
    path.hold_later.store(false, Ordering::Relaxed);
    let call = environment.spawn(numbered(&route, later));
    while !ids(&queue).contains(&later) {
        tokio::task::yield_now().await;
    }
    assert_eq!(ids(&queue), [later]);
    path.release_all();
    environment.sleep(Duration::from_millis(100)).await;
    assert_eq!(ids(&queue), [later]);
    call.abort();
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_was_frozen_executes_nothing_of_an_older_link_behind_a_newer_one() {
    for older_first in [true, false] {
        freeze(older_first).await;
    }
}
