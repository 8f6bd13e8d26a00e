//! Tests the view of callers while the peers that they call shut down gracefully and come back,
//! over real connections.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actorgrid::{
    ActorStart, Client, EchoMsg, Environment, MemoryRegistry, Registry, RequestErrorKind, Server,
};
use tokio::task::JoinSet;
use world::echo_type;

const CALLERS: usize = 64;
const RESTARTS: usize = 20;

async fn peer(registry: &Registry, address: &str) -> Server {
    Server::builder("test", registry.clone())
        .actor_type(echo_type("echo"))
        .bind(address)
        .await
        .unwrap()
}

/// Starts the actor of this name on the peer, and waits until it answers.
async fn start(client: &Client, peer: &Server, name: &str) {
    let start = ActorStart::new(name, "echo");
    client.start(peer.peer(), start).await.unwrap();
}

/// The outcomes of one caller's calls.
#[derive(Default)]
struct Seen {
    answers: usize,
    errors: HashMap<RequestErrorKind, usize>,
}

/// Calls both names in turn until `is_over`.
async fn call(client: Client, caller: usize, is_over: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    for turn in caller.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("a-{}", turn % 2);
        let text = format!("{caller} {turn}");
        match client.request(&name, EchoMsg::new(text.as_str())).await {
            Ok(answer) => {
                assert_eq!(answer.msg, format!("{text} from {name}"));
                seen.answers += 1;
            }
            Err(error) => {
                assert!(!error.may_have_executed(), "{error:?}");
                assert!(error.is_retryable(), "{error:?}");
                *seen.errors.entry(error.kind()).or_default() += 1;
            }
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_shuts_down_in_order_leaves_no_caller_in_doubt() {
    let registry = MemoryRegistry::new(&Environment::real()).registry();
    let client = Client::new("test", registry.clone());
    let mut peers = Vec::new();
    for index in 0..2 {
        let peer = peer(&registry, "127.0.0.1:0").await;
        start(&client, &peer, &format!("a-{index}")).await;
        peers.push(peer);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(call(client.clone(), caller, is_over.clone()));
    }
    for restart in 0..RESTARTS {
        let index = restart % peers.len();
        let left = &peers[index];
        left.shutdown().await.unwrap();
        peers[index] = peer(&registry, left.address().as_str()).await;
        start(&client, &peers[index], &format!("a-{index}")).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let (mut answers, mut errors) = (0, HashMap::new());
    for seen in callers.join_all().await {
        answers += seen.answers;
        for (kind, count) in seen.errors {
            *errors.entry(kind).or_insert(0) += count;
        }
    }
    println!("answers: {answers}, errors: {errors:?}");
    assert!(answers > CALLERS, "{answers}");
}
