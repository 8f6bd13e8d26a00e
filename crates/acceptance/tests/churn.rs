//! A minute of churn leaves nothing behind: memory, descriptors and tasks return to their previous
//! levels.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

use std::alloc::System;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actorgrid::{ActorStart, ActorType, Client, EchoMsg, Kind, Registry, Request, Server};
use cap::Cap;
use testbed::{Etcd, Proxy};
use tokio::runtime::Handle;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Precedes the first measurement, so that everything that is created only once exists by then.
const WARM_UP: Duration = Duration::from_secs(10);
const CHURN: Duration = Duration::from_secs(60);
/// How long measurements may take to settle: unused connections of clients are kept for a while.
const SETTLING: Duration = Duration::from_secs(60);
const CHURNERS: usize = 8;
/// The number of names that each churner uses.
const NAMES: u64 = 10;
/// How much pools and tables may grow.
const SLACK_BYTES: usize = 512 * 1024;

/// The resources that the process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    bytes: usize,
    descriptors: usize,
    tasks: usize,
}

impl Held {
    fn now() -> Self {
        Self {
            bytes: HEAP.allocated(),
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            tasks: Handle::current().metrics().num_alive_tasks(),
        }
    }

    fn is_within(self, before: Self) -> bool {
        self.bytes <= before.bytes + SLACK_BYTES
            && self.descriptors <= before.descriptors
            && self.tasks <= before.tasks
    }

    /// Measures until everything is back within `before`, or the time to settle is over, and
    /// returns the last measurement. Without `before`, takes it after a quarter of that time.
    async fn settled(before: Option<Self>) -> Self {
        let begun = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let held = Self::now();
            let is_back = before.is_some_and(|before| held.is_within(before));
            let limit = before.map_or(SETTLING / 4, |_| SETTLING);
            if is_back || begun.elapsed() > limit {
                return held;
            }
        }
    }
}

fn echo() -> ActorType {
    ActorType::from_fn("echo", async |_start, ctx| {
        let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(10).await?;
        while let Some(request) = mailbox.recv().await {
            let reply = request.message().clone();
            // A caller that has gone is part of the churn.
            let _ = request.respond(reply);
        }
        Ok(())
    })
}

/// Runs one round of starts, stops, requests, mailboxes, watches and broken connections. Errors
/// while etcd is cut off do not matter; leftovers do.
async fn round(server: &Server, outside: &Client, name: &str) {
    let patience = Duration::from_secs(5);
    for client in [server.client(), outside] {
        let start = ActorStart::new(name, "echo");
        let _ = client
            .start(server.peer(), start)
            .deadline(patience)
            .send()
            .await;
        let ask = |bytes: usize| {
            let request = client.request(name, EchoMsg::new("x".repeat(bytes)));
            request.deadline(patience).send()
        };
        let _ = ask(10).await;
        let _ = ask(300_000).await;
        // Abandoned before it is answered.
        let _ = tokio::time::timeout(Duration::from_micros(300), ask(300_000)).await;
        let waits = client
            .request(format!("{name}-none"), EchoMsg::new("x"))
            .wait_for_name();
        let _ = waits.deadline(Duration::from_millis(20)).send().await;
        if let Ok((_, mut changes)) = client.watch(Kind::Actor).await {
            let _ = tokio::time::timeout(Duration::from_millis(20), changes.next()).await;
        }
        let _ = tokio::time::timeout(patience, client.stop(name)).await;
    }
    if let Ok(mailbox) = server
        .mailbox::<Request<EchoMsg>>(format!("{name}-box"), 5)
        .await
    {
        let ask = outside.request(format!("{name}-box"), EchoMsg::new("unread"));
        let _ = ask.deadline(Duration::from_millis(20)).send().await;
        mailbox.close().await;
    }
    // One connection that sends nothing, and one that ends after the preface.
    for bytes in [&b""[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        if let Ok(mut stream) = TcpStream::connect(server.address().to_string()) {
            let _ = std::io::Write::write_all(&mut stream, bytes);
        }
    }
}

/// Returns a name that recurs, so that what is kept for each name, such as its location, exists by
/// the first measurement.
fn name(churner: usize, round: u64) -> String {
    format!("churn-{churner}-{}", round % NAMES)
}

/// Stops the actors whose stops failed while etcd was cut off.
async fn stop_all(server: &Server) {
    let end = Instant::now() + SETTLING;
    while server.statistics().actors_running > 0 && Instant::now() < end {
        for churner in 0..CHURNERS {
            for round in 0..NAMES {
                let _ = server.client().stop(name(churner, round)).await;
            }
        }
    }
}

/// Churns for this long, and returns the number of rounds.
async fn churn(server: &Arc<Server>, outside: &Client, etcd: &Proxy, time: Duration) -> u64 {
    let end = Instant::now() + time;
    let rounds = Arc::<AtomicU64>::default();
    let mut churners = tokio::task::JoinSet::new();
    for number in 0..CHURNERS {
        let (server, outside, rounds) = (server.clone(), outside.clone(), rounds.clone());
        churners.spawn(async move {
            while Instant::now() < end {
                let round_number = rounds.fetch_add(1, Ordering::Relaxed);
                round(&server, &outside, &name(number, round_number)).await;
            }
        });
    }
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(2)).await;
        etcd.cut();
    }
    churners.join_all().await;
    stop_all(server).await;
    rounds.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_churn_leaves_nothing_behind() {
    examples::log_to_stderr();
    let etcd = tokio::task::spawn_blocking(Etcd::start).await.unwrap();
    let proxy = Proxy::of(etcd.address());
    let url = format!("etcd://{}", proxy.address());
    let server = Server::builder("acceptance", Registry::connect(&url).await.unwrap())
        .actor_type(echo())
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let server = Arc::new(server);
    let outside = Client::new("acceptance", Registry::connect(&url).await.unwrap());
    churn(&server, &outside, &proxy, WARM_UP).await;
    let before = Held::settled(None).await;
    let rounds = churn(&server, &outside, &proxy, CHURN).await;
    let after = Held::settled(Some(before)).await;
    eprintln!("{rounds} rounds: {before:?}, then {after:?}");
    assert!(rounds > 200, "there was too little churn: {rounds} rounds");
    assert!(after.is_within(before), "{before:?}, then {after:?}");
    assert_eq!(server.statistics().actors_running, 0);
    assert_eq!(server.statistics().sessions_fenced, 0);
}
