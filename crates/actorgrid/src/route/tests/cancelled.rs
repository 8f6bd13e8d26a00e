//! Calls that are cancelled, or wait, by the thousand without harming others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use crate::address::Address;
use crate::environment::{Environment, Simulation};
use crate::message::EchoMsg;
use crate::registry::Capabilities;
use crate::route::Route;
use crate::route::calling::connection::MAX_CALLS;
use crate::route::conformance::{House, call, echo, pool, serve};

/// Removes the complete HTTP/2 frames from the bytes that were read, and returns each with its
/// kind.
fn whole_frames(read: &mut Vec<u8>) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut end = 0;
    while let Some([a, b, c, kind, ..]) = read.get(end..) {
        let length = 9 + u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some(frame) = read.get(end..end + length) else {
            break;
        };
        frames.push((*kind, frame.to_vec()));
        end += length;
    }
    read.drain(..end);
    frames
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// A proxy between a client and a peer that can hold back the answers. Pings pass, so that the
/// connection is not abandoned, no matter how slow the machine is.
struct Gate {
    address: Address,
    closed: Arc<AtomicBool>,
    held: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Gate {
    /// Starts a proxy for one connection.
    async fn before(environment: &Environment, peer: &Address) -> Self {
        let listening = "127.0.0.1:0".parse().unwrap();
        let mut listener = environment.listen(listening).await.unwrap();
        let address = listener.local_addr().unwrap().try_into().unwrap();
        let server = environment.connect(peer).await.unwrap();
        let (closed, held) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (is_closed, count) = (closed.clone(), held.clone());
        let task = environment.spawn(async move {
            let client = listener.accept().await.unwrap();
            let (mut from_client, mut to_client) = tokio::io::split(client);
            let (mut from_server, mut to_server) = tokio::io::split(server);
            let requests = tokio::io::copy(&mut from_client, &mut to_server);
            let answers = async {
                let (mut read, mut held) = (Vec::new(), Vec::new());
                loop {
                    let reading = from_server.read_buf(&mut read);
                    let reading = tokio::time::timeout(Duration::from_millis(10), reading);
                    if matches!(reading.await, Ok(Ok(0) | Err(_))) {
                        return;
                    }
                    let closed = is_closed.load(Ordering::SeqCst);
                    let mut passed = Vec::new();
                    if !closed {
                        passed.append(&mut held);
                    }
                    for (kind, frame) in whole_frames(&mut read) {
                        match closed && matches!(kind, DATA | HEADERS) {
                            true => {
                                // Each answer has one frame of data.
                                count.fetch_add(usize::from(kind == DATA), Ordering::SeqCst);
                                held.extend(frame);
                            }
                            false => passed.extend(frame),
                        }
                    }
                    if to_client.write_all(&passed).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                _ = requests => {}
                () = answers => {}
            }
        });
        Self {
            address,
            closed,
            held,
            task,
        }
    }
}

#[tokio::test]
async fn answers_that_come_long_after_their_calls_were_cancelled_are_only_ignored() {
    const AT_ONCE: usize = 1_000;
    let environment = Environment::real();
    let house: Arc<House> = Arc::default();
    house.echo("a");
    let mut others = house.queue("other");
    let (server, address) = serve(&environment, &house, 0).await;
    let gate = Gate::before(&environment, &address).await;
    let pool = pool(&environment);
    let route = pool.route(&gate.address, Capabilities::ACTORGRID);
    let other = {
        let route = route.clone();
        environment.spawn(async move { route.call(&mut call("other", EchoMsg::default())).await })
    };
    let request = others.recv().await.unwrap();
    gate.closed.store(true, Ordering::SeqCst);
    for round in 1..=15 {
        let calls = (0..AT_ONCE).map(|_| {
            let route = &route;
            async move { drop(route.call(&mut call("a", EchoMsg::default())).await) }
        });
        let answered = async {
            while gate.held.load(Ordering::SeqCst) < round * AT_ONCE {
                environment.sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            _ = join_all(calls) => panic!("they are held back"),
            () = answered => {}
        }
    }
    // The HTTP/2 library remembers for a second that it has reset a stream.
    environment.sleep(Duration::from_millis(1_200)).await;
    gate.closed.store(false, Ordering::SeqCst);
    let mut last = call("a", EchoMsg::new("alive"));
    assert_eq!(echo(route.call(&mut last).await.unwrap()).msg, "alive");
    request.respond(EchoMsg::new("same connection")).unwrap();
    assert_eq!(echo(other.await.unwrap().unwrap()).msg, "same connection");
    pool.close().await;
    server.shutdown(Duration::from_secs(1)).await;
    gate.task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_connection_takes_no_more_calls_than_may_be_cancelled_on_it() {
    let environment = Simulation::new(1).environment();
    let house: Arc<House> = Arc::default();
    let mut queue = house.queue("silent");
    house.echo("a");
    let (server, address) = serve(&environment, &house, 0).await;
    let pool = pool(&environment);
    let route = pool.route(&address, Capabilities::ACTORGRID);
    let calls = (0..MAX_CALLS).map(|_| {
        let route = &route;
        async move {
            route
                .call(&mut call("silent", EchoMsg::default()))
                .await
                .map(drop)
        }
    });
    let mut calls: FuturesUnordered<_> = calls.collect();
    // A further call is not queued behind them all.
    let mut other = call("a", EchoMsg::new("alive"));
    let answer = async {
        let mut unanswered = Vec::new();
        while unanswered.len() < 1_000 {
            unanswered.extend(queue.recv().await);
        }
        // All of them have begun once each was polled a few times, 32 in a turn.
        for _ in 0..MAX_CALLS / 4 {
            tokio::task::yield_now().await;
        }
        let answer = route.call(&mut other);
        let answer = environment.timeout(Duration::from_secs(1), answer).await;
        drop(unanswered);
        answer
    };
    tokio::select! {
        biased;
        ended = calls.next() => panic!("nobody answers them: {ended:?}"),
        answer = answer => assert_eq!(echo(answer.unwrap().unwrap()).msg, "alive"),
    }
    drop(calls);
    pool.close().await;
    server.shutdown(Duration::from_secs(1)).await;
}

/// A Go peer does not allow probes; a silent connection to it is detected by the calls that are
/// abandoned on it.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_probed_is_replaced_when_it_is_silent() {
    let environment = Simulation::new(1).environment();
    let listening = "127.0.0.1:0".parse().unwrap();
    let mut listener = environment.listen(listening).await.unwrap();
    let address: Address = listener.local_addr().unwrap().try_into().unwrap();
    let taken = Arc::<AtomicUsize>::default();
    let count = taken.clone();
    // It sends its preface on each connection, and then nothing: no answer, no acknowledgement.
    let peer = environment.spawn(async move {
        let mut connections = Vec::new();
        loop {
            let mut socket = listener.accept().await.unwrap();
            let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
            socket.write_all(&settings).await.unwrap();
            connections.push(socket);
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let pool = pool(&environment);
    let route = pool.route(&address, Capabilities::GO);
    let connections_after = async |time| {
        let mut call = call("a", EchoMsg::default());
        let answer = environment.timeout(time, route.call(&mut call)).await;
        assert!(answer.is_none());
        taken.load(Ordering::SeqCst)
    };
    // A short silence proves nothing.
    assert_eq!(connections_after(Duration::from_millis(500)).await, 1);
    assert_eq!(connections_after(Duration::from_secs(2)).await, 1);
    assert_eq!(connections_after(Duration::from_millis(500)).await, 2);
    assert_eq!(connections_after(Duration::from_millis(500)).await, 2);
    pool.close().await;
    peer.abort();
}
