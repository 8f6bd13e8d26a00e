//! Tests what callers see while peers are restarted, and that workers are restarted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actorgrid::{Client, Registry, Server};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::messages::{Done, Work};
use crate::{actors, front, worker};

const CALLERS: usize = 64;
const ROUNDS: usize = 5;

async fn peer(registry: &Registry, address: &str) -> Server {
    actors(
        Server::builder("requestreply", registry.clone()),
        Duration::ZERO,
    )
    .bind(address)
    .await
    .unwrap()
}

/// Waits until the worker of a peer answers.
async fn answer(client: &Client, peer: &Server) -> Done {
    client
        .request(worker::name_on(peer.peer()), Work { user: None })
        .wait_for_name()
        .idempotent()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_worker_that_ended_is_started_again() {
    let registry = Registry::connect("memory:").await.unwrap();
    let peer = peer(&registry, "127.0.0.1:0").await;
    let before = answer(peer.client(), &peer).await;
    peer.client().stop(&before.worker).await.unwrap();
    let after = answer(peer.client(), &peer).await;
    assert_eq!(after.worker, before.worker);
    assert!(after.token > before.token, "{after:?} {before:?}");
    peer.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_peers_are_restarted_no_answer_is_lost_or_wrong() {
    let registry = Registry::connect("memory:").await.unwrap();
    let mut peers = Vec::new();
    for _ in 0..3 {
        peers.push(peer(&registry, "127.0.0.1:0").await);
    }
    let client = Client::new("requestreply", registry.clone());
    for peer in &peers {
        answer(&client, peer).await;
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let front = tokio::spawn(front::serve(listener, client.clone(), async {
        let _ = stopped.await;
    }));
    let is_over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| tokio::spawn(call(address, caller, is_over.clone())))
        .collect();

    for _ in 0..ROUNDS {
        for index in 0..peers.len() {
            let left = peers.remove(index);
            left.shutdown().await.unwrap();
            peers.insert(index, peer(&registry, left.address().as_str()).await);
            answer(&client, &peers[index]).await;
        }
    }

    is_over.store(true, Ordering::Relaxed);
    let mut seen = BTreeMap::new();
    for caller in callers {
        for (kind, count) in caller.await.unwrap() {
            *seen.entry(kind).or_insert(0_u64) += count;
        }
    }
    stop.send(()).unwrap();
    let counts = front.await.unwrap().unwrap().to_string();
    println!("{counts}");
    // Each answer that was counted reached its caller.
    let counted: BTreeMap<_, _> = counts
        .split(", ")
        .filter_map(|part| part.rsplit_once(": "))
        .map(|(kind, count)| (kind.to_owned(), count.parse().unwrap()))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(seen, counted);
    let total: u64 = seen.values().sum();
    assert!(seen["200"] * 10 > total * 9, "{counts}");
    for peer in peers {
        peer.shutdown().await.unwrap();
    }
}

/// Sends requests, every second one for a user, until `is_over`. Counts the kinds of answers.
async fn call(
    address: SocketAddr,
    caller: usize,
    is_over: Arc<AtomicBool>,
) -> BTreeMap<String, u64> {
    let mut seen = BTreeMap::new();
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    for turn in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let user = (turn % 2 == 0).then(|| format!("user-{caller}-{turn}"));
        let query = user
            .as_ref()
            .map_or(String::new(), |user| format!("?user={user}"));
        let (status, body) = get(&mut stream, &format!("/work{query}")).await;
        let kind = if status == "200" {
            assert_eq!(body["user"].as_str(), user.as_deref());
            let worker = body["worker"].as_str().unwrap();
            assert!(worker.starts_with(worker::PREFIX), "{body}");
            status
        } else {
            format!("{status} {}", body["error"].as_str().unwrap())
        };
        *seen.entry(kind).or_insert(0) += 1;
    }
    seen
}

async fn get(stream: &mut BufReader<TcpStream>, path: &str) -> (String, Value) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut status, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim_end().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None if line == "\r\n" => break,
            None => status = line.split(' ').nth(1).map(str::to_owned),
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (status.unwrap(), serde_json::from_slice(&body).unwrap())
}
