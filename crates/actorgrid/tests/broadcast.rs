//! Broadcasts: each member has its own outcome, in time, and no caller is kept waiting.

// clippy exempts test functions, not their helpers.
#![allow(clippy::unwrap_used)]

mod world;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actorgrid::{
    ActorStart, ActorType, BroadcastResult, Client, EchoMsg, Group, Mailbox, Outcome, Payload,
    Request, RequestErrorKind as Kind, Server,
};
use futures_util::stream::{self, StreamExt as _};
use world::{MemoryWorld, World, clock, eventually, on_both_registries, pass, secs};

on_both_registries! {
    each_member_has_an_outcome_and_the_rest_is_asked_again,
    a_member_is_asked_once_unless_repeats_are_allowed,
    the_fastest_does_not_wait_for_the_others,
    a_member_that_was_too_slow_does_not_run_later,
    the_fastest_reports_why_all_have_failed,
    all_have_one_deadline,
    a_dropped_broadcast_leaves_nobody_waiting,
    mistakes_are_reported_for_each_member,
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Records what the members have seen.
#[derive(Default)]
struct Book {
    runs: Mutex<HashMap<String, usize>>,
    held: AtomicUsize,
    gone: AtomicUsize,
    /// Requests that were held, kept so that they are never answered.
    kept: Mutex<Vec<Request<EchoMsg>>>,
}

impl Book {
    fn run(&self, name: &str) -> usize {
        let mut runs = self.runs.lock().unwrap();
        let runs = runs.entry(name.to_owned()).or_default();
        *runs += 1;
        *runs
    }

    fn runs(&self, name: &str) -> usize {
        self.runs.lock().unwrap().get(name).copied().unwrap_or(0)
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    fn gone(&self) -> usize {
        self.gone.load(Ordering::SeqCst)
    }
}

/// Creates actors that behave as the first word of their names says; by default they answer once at
/// least as many requests are held as the message says.
fn member_type(book: &Arc<Book>) -> ActorType {
    let book = book.clone();
    let member = ActorType::from_fn("member", move |_start, ctx| {
        let book = book.clone();
        async move {
            let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(10).await?;
            let name = ctx.name().as_str();
            while let Some(mut request) = mailbox.recv().await {
                let run = book.run(name);
                match name.split('-').next().unwrap_or_default() {
                    "fail" => drop(request.fail("out of order")),
                    "drop" if run == 1 => drop(request),
                    "hold" => {
                        book.held.fetch_add(1, Ordering::SeqCst);
                        request.abandoned().await;
                        book.gone.fetch_add(1, Ordering::SeqCst);
                        book.kept.lock().unwrap().push(request);
                    }
                    _ => {
                        let held = request.message().msg.parse().unwrap_or(0);
                        eventually("enough requests are held", || book.held() >= held).await;
                        let _ = request.respond(EchoMsg::new(name));
                    }
                }
            }
            Ok(())
        }
    });
    member.mailbox::<Request<EchoMsg>>(10)
}

/// Binds a peer with these members; returns its own client and one of another process.
async fn peer(world: &World, names: &[&str]) -> (Arc<Book>, Server, [Client; 2]) {
    let book = Arc::default();
    let server = world.server().actor_type(member_type(&book));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let clients = [server.client().clone(), world.client()];
    for name in names {
        start(&clients[1], &server, name).await;
    }
    (book, server, clients)
}

async fn start(client: &Client, server: &Server, name: &str) {
    let start = ActorStart::new(name, "member");
    client.start(server.peer(), start).await.unwrap();
}

fn group(names: &[&str]) -> Group {
    Group::new(names.iter().copied()).unwrap()
}

/// Shows each outcome: the member's name for its reply, otherwise the kind of failure or `slower`,
/// with a question mark if the request may have been executed.
fn shown(result: &BroadcastResult<EchoMsg>) -> Vec<String> {
    let shown = result.iter().map(|(name, outcome)| {
        let maybe = if outcome.may_have_executed() { "?" } else { "" };
        match outcome {
            Outcome::Reply(reply) => {
                assert_eq!(reply.msg, name.as_str());
                name.to_string()
            }
            Outcome::Failed(error) => format!("{:?}{maybe}", error.kind()),
            Outcome::Cancelled { .. } => format!("slower{maybe}"),
        }
    });
    shown.collect()
}

/// Opens a mailbox that is full and whose owner does not receive. The request that fills it waits
/// until it is dropped, and frees its place then.
async fn full(server: &Server) -> (Mailbox<Request<EchoMsg>>, impl Future + use<>) {
    let mailbox = server.mailbox::<Request<EchoMsg>>("full", 1).await.unwrap();
    let first = server.client().request("full", EchoMsg::default());
    let mut first = Box::pin(first.deadline(secs(60)).send());
    tokio::select! {
        _ = &mut first => panic!("answered"),
        () = eventually("the request is queued", || mailbox.len() == 1) => {}
    }
    (mailbox, first)
}

async fn each_member_has_an_outcome_and_the_rest_is_asked_again(world: World) {
    let (book, server, clients) = peer(&world, &["echo-1", "echo-2", "fail-1"]).await;
    for (round, client) in clients.iter().enumerate() {
        let (mut mailbox, first) = full(&server).await;
        let late = format!("late-{round}");
        let group = group(&["echo-2", "full", &late, "fail-1", "echo-1", "echo-2"]);
        let broadcast = client.broadcast(&group, EchoMsg::default());
        let mut result = broadcast.deadline(secs(1)).await;
        let (mut found, expected) = (
            shown(&result),
            ["echo-2", "Busy", "UnknownName", "Application?", "echo-1"],
        );
        // Which of the two is reported depends on when the last repeat returns.
        if found[1] == "DeadlineExceeded" {
            found[1] = "Busy".to_owned();
        }
        assert_eq!(found, expected);
        assert!(!result.is_complete());
        assert_eq!(book.runs("echo-2"), round + 1);

        let left = group.except_successes(&result);
        assert_eq!(left.members().len(), 3);
        start(client, &server, &late).await;
        let repeat = client.broadcast(&left, EchoMsg::default());
        let (repeat, ()) = tokio::join!(repeat.send(), async {
            drop(first);
            let request = mailbox.recv().await.unwrap();
            request.respond(EchoMsg::new("full")).unwrap();
        });
        result.add(repeat);
        let expected = ["echo-2", "full", &late, "Application?", "echo-1"];
        assert_eq!(shown(&result), expected);
        assert_eq!(book.runs("echo-2"), round + 1);
        let error = result.into_result().unwrap_err();
        assert_eq!(
            error.to_string(),
            "4 of 5 members replied; fail-1 failed: out of order"
        );
        mailbox.close().await;
    }
}

async fn a_member_is_asked_once_unless_repeats_are_allowed(world: World) {
    let names = ["drop-1", "echo-1", "drop-2"];
    let (book, server, clients) = peer(&world, &names).await;
    for client in &clients {
        book.runs.lock().unwrap().clear();
        let group = group(&names);
        let result = client.broadcast(&group, EchoMsg::default()).await;
        assert_eq!(shown(&result), ["NoReply?", "echo-1", "NoReply?"]);
        for name in names {
            assert_eq!(book.runs(name), 1, "{name}");
        }
        book.runs.lock().unwrap().clear();
        let broadcast = client.broadcast(&group, EchoMsg::default());
        let result = broadcast.idempotent().await.into_result().unwrap();
        assert_eq!(shown(&result), names);
        assert_eq!([2, 1, 2], names.map(|name| book.runs(name)));
    }
    drop(server);
}

async fn the_fastest_does_not_wait_for_the_others(world: World) {
    let names = ["fail-1", "hold-1", "hold-2", "echo-1", "echo-2"];
    let (book, _server, clients) = peer(&world, &names).await;
    for (round, client) in clients.iter().enumerate() {
        let begun = clock();
        // Members reply once both others hold their requests.
        let message = || EchoMsg::new((2 * round + 2).to_string());
        let group = group(&["nobody", "fail-1", "hold-1", "hold-2", "echo-1", "echo-2"]);
        // Three at a time: the two failures make room for `hold-2` and `echo-1`, whose reply ends
        // the broadcast before the turn of `echo-2`.
        let broadcast = client.broadcast(&group, message()).deadline(secs(60));
        let result = broadcast.concurrency(3).fastest().await;
        assert!(begun.elapsed() < world.bound(secs(1)));
        assert!(result.is_complete());
        let outcomes = shown(&result);
        let failed = ["UnknownName", "Application?", "slower?", "slower?"];
        assert_eq!(outcomes[..4], failed);
        let first = result.first().unwrap();
        assert_eq!(first.0.as_str(), "echo-1");
        assert_eq!(outcomes[5], "slower", "it was never sent");
        assert_eq!(book.runs("echo-2"), 0);
        // The members that hold requests notice that nobody waits.
        eventually("the holding members notice", || {
            book.gone() == 2 * round + 2
        })
        .await;
        assert!(begun.elapsed() < world.bound(secs(2)));
    }
}

async fn a_member_that_was_too_slow_does_not_run_later(world: World) {
    let (_, server, clients) = peer(&world, &["echo-1"]).await;
    let mut mailbox = server.mailbox::<Request<EchoMsg>>("m", 9).await.unwrap();
    for client in &clients {
        let group = group(&["m", "echo-1"]);
        let broadcast = client.broadcast(&group, EchoMsg::default()).fastest();
        let result = broadcast.await;
        assert_eq!(result.first().unwrap().0.as_str(), "echo-1");
        let last = client.request("m", EchoMsg::new("last")).send();
        let (last, request) = tokio::join!(last, async {
            // The other request may or may not have been queued; either way it is not handed out.
            world.idle(secs(1)).await;
            let request = mailbox.recv().await.unwrap();
            let text = request.message().msg.clone();
            request.respond(EchoMsg::default()).unwrap();
            text
        });
        assert!(last.is_ok());
        assert_eq!(request, "last");
    }
}

async fn the_fastest_reports_why_all_have_failed(world: World) {
    let names = ["fail-1", "drop-1", "fail-2"];
    let (book, _server, clients) = peer(&world, &names).await;
    for client in &clients {
        book.runs.lock().unwrap().clear();
        let begun = clock();
        let group = group(&["fail-1", "drop-1", "nobody", "fail-2"]);
        let broadcast = client.broadcast(&group, EchoMsg::default()).fastest();
        let result = broadcast.concurrency(2).await;
        let expected = ["Application?", "NoReply?", "UnknownName", "Application?"];
        assert_eq!(shown(&result), expected);
        assert!(begun.elapsed() < world.bound(secs(1)));
        assert!(result.first().is_none());
        assert!(result.into_result().is_err());
    }
}

async fn all_have_one_deadline(world: World) {
    let (book, server, clients) = peer(&world, &["hold-1", "hold-2", "echo-1"]).await;
    let mut mailbox = server.mailbox::<Request<EchoMsg>>("m", 9).await.unwrap();
    for client in &clients {
        for fastest in [false, true] {
            let begun = clock();
            let group = group(&["hold-1", "hold-2", "nobody", "echo-1"]);
            let broadcast = client.broadcast(&group, EchoMsg::default());
            let broadcast = broadcast.deadline(ms(500)).concurrency(2);
            let result = match fastest {
                true => broadcast.fastest().await,
                false => broadcast.await,
            };
            assert!(begun.elapsed() <= world.bound(ms(750)));
            assert!(result.first().is_none() && !result.is_complete());
            let kinds: Vec<_> = result.failures().map(|(_, error)| error.kind()).collect();
            assert_eq!(kinds, [Kind::DeadlineExceeded; 4]);
            let executed = result
                .iter()
                .map(|(_, outcome)| outcome.may_have_executed());
            assert_eq!(executed.collect::<Vec<_>>(), [true, true, false, false]);
            assert_eq!(book.runs("echo-1"), 0);
        }
        // A request that starts late has only the time that is left.
        let both = group(&["slow", "m"]);
        let mut slow = server.mailbox::<Request<EchoMsg>>("slow", 9).await.unwrap();
        let broadcast = client.broadcast(&both, EchoMsg::default());
        let broadcast = broadcast.deadline(secs(5)).concurrency(1).send();
        let (result, left) = tokio::join!(broadcast, async {
            let request = slow.recv().await.unwrap();
            pass(secs(1)).await;
            request.respond(EchoMsg::new("slow")).unwrap();
            let request = mailbox.recv().await.unwrap();
            let left = request.deadline().remaining();
            request.respond(EchoMsg::new("m")).unwrap();
            left
        });
        assert_eq!(shown(&result), ["slow", "m"]);
        // The deadline travels in whole microseconds.
        assert!(left <= secs(4) + ms(1), "{left:?}");
        slow.close().await;
    }
}

async fn a_dropped_broadcast_leaves_nobody_waiting(world: World) {
    let names = ["hold-1", "hold-2", "hold-3"];
    let (book, _server, clients) = peer(&world, &names).await;
    for (round, client) in clients.iter().enumerate() {
        let before = 3 * round;
        tokio::select! {
            _ = client.broadcast(&group(&names), EchoMsg::default()).deadline(secs(60)).send() => {
                panic!("nobody answers");
            }
            () = eventually("all members hold a request", || book.held() == before + 3) => {}
        }
        let begun = clock();
        eventually("all members notice", || book.gone() == before + 3).await;
        assert!(begun.elapsed() < world.bound(secs(1)));
    }
}

async fn mistakes_are_reported_for_each_member(world: World) {
    let names = ["echo-1", "echo-2"];
    let (book, server, clients) = peer(&world, &names).await;
    for client in &clients {
        let empty = Group::default();
        let all = client.broadcast(&empty, EchoMsg::default()).await;
        assert!(all.is_empty() && all.is_complete());
        let fastest = client.broadcast(&empty, EchoMsg::default()).fastest().await;
        assert!(fastest.is_empty() && !fastest.is_complete());

        let group = group(&names);
        let headers = client.broadcast(&group, EchoMsg::default());
        let headers = headers.header("Not A Name", "x").await;
        assert_eq!(shown(&headers), ["InvalidHeaders"; 2]);
        let large = EchoMsg::new("x".repeat(5 << 20));
        let large = client.broadcast(&group, large).await;
        assert_eq!(shown(&large), ["MessageTooLarge"; 2]);
        let unknown = client.broadcast(&group, actorgrid::Ack {}).await;
        let kinds = unknown.failures().map(|(_, error)| error.kind());
        assert_eq!(kinds.collect::<Vec<_>>(), [Kind::UnknownMessage; 2]);
        let other = client.broadcast(&group, EchoMsg::default());
        let other = other.expecting::<actorgrid::Ack>().await;
        let kinds = other.failures().map(|(_, error)| error.kind());
        assert_eq!(kinds.collect::<Vec<_>>(), [Kind::UnexpectedReply; 2]);
        let any = client.broadcast(&group, EchoMsg::default());
        let any = any.expecting::<Payload>().await.into_result().unwrap();
        for (name, reply) in any.successes() {
            assert_eq!(reply.decode::<EchoMsg>().unwrap().msg, name.as_str());
        }

        let mut mailbox = server.mailbox::<Request<EchoMsg>>("m", 9).await.unwrap();
        let group = self::group(&["m"]);
        let broadcast = client.broadcast(&group, EchoMsg::default());
        let (result, ()) = tokio::join!(broadcast.header("trace", "7").send(), async {
            let request = mailbox.recv().await.unwrap();
            assert_eq!(request.header("trace"), Some("7"));
            request.respond(EchoMsg::new("m")).unwrap();
        });
        assert!(result.is_complete());
        mailbox.close().await;
        client.close().await;
        let closed = client.broadcast(&group, EchoMsg::default()).await;
        assert_eq!(shown(&closed), ["ClientClosed"]);
    }
    assert_eq!(book.runs("echo-1"), 4);
}

/// Starts actors of the type "member" with names that end in numbers.
async fn start_many(client: &Client, server: &Server, names: &Group) {
    let starts = names.members().iter().map(|name| {
        let start = ActorStart::new(name.as_str(), "member");
        client.start(server.peer(), start).deadline(secs(60)).send()
    });
    let mut starts = stream::iter(starts).buffer_unordered(100);
    while let Some(started) = starts.next().await {
        started.unwrap();
    }
}

fn numbered(members: usize) -> Group {
    Group::new((0..members).map(|i| format!("m-{i}"))).unwrap()
}

/// Runs on the memory registry alone: it counts how many requests run at once, so time must stand
/// still.
#[tokio::test(start_paused = true)]
async fn ten_thousand_members_and_never_too_many_at_a_time() {
    let world = MemoryWorld::new();
    let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (counted, peak) = (now.clone(), most.clone());
    let busy = ActorType::from_fn("member", move |_start, ctx| {
        let (now, most) = (counted.clone(), peak.clone());
        async move {
            let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(1).await?;
            while let Some(request) = mailbox.recv().await {
                let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(at_once, Ordering::SeqCst);
                pass(ms(10)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                request.respond(EchoMsg::new(ctx.name().as_str()))?;
            }
            Ok(())
        }
    });
    let busy = busy.mailbox::<Request<EchoMsg>>(1);
    let server = world.server().actor_type(busy);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let group = numbered(10_000);
    start_many(server.client(), &server, &group).await;
    for client in [server.client(), &world.client()] {
        for bound in [None, Some(64)] {
            most.store(0, Ordering::SeqCst);
            let broadcast = client.broadcast(&group, EchoMsg::default());
            let result = match bound {
                None => broadcast.await,
                Some(bound) => broadcast.concurrency(bound).await,
            };
            let result = result.into_result().unwrap();
            assert_eq!(result.len(), 10_000);
            assert!(
                shown(&result)
                    .iter()
                    .eq(group.members().iter().map(|n| n.as_str()))
            );
            let bound = bound.unwrap_or(actorgrid::DEFAULT_CONCURRENCY);
            assert_eq!(most.load(Ordering::SeqCst), bound);
        }
    }
}

/// The number of broadcasts of a storm, unless `ACTORGRID_STORM` sets another one: about ten
/// seconds without optimization. They cancel more requests than a connection tolerates.
const STORM: usize = 60;

fn storm_size() -> usize {
    std::env::var("ACTORGRID_STORM").map_or(STORM, |number| number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_fastest_broadcasts_harms_nobody() {
    storm(storm_size(), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fastest_broadcasts_all_at_once_harm_nobody() {
    storm(storm_size(), storm_size()).await;
}

/// Runs fastest broadcasts to 1,000 members over one connection. Each cancels hundreds of requests
/// in every state that they can be in, while others send requests over the same connection. Runs
/// over real sockets, whose buffers and delays are what is tested.
#[allow(clippy::disallowed_methods)] // the callers are tasks, so that they run in parallel
async fn storm(broadcasts: usize, callers: usize) {
    let world = World::on_real_memory();
    let member = ActorType::from_fn("member", async |_start, ctx| {
        let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(100).await?;
        let answers = !ctx.name().as_str().ends_with(['1', '3', '5', '7', '9']);
        while let Some(mut request) = mailbox.recv().await {
            if answers {
                let _ = request.respond(EchoMsg::new(ctx.name().as_str()));
            } else {
                request.abandoned().await;
            }
        }
        Ok(())
    });
    let member = member.mailbox::<Request<EchoMsg>>(100);
    let server = world.server().actor_type(member);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let elsewhere = world.server().bind("127.0.0.1:0").await.unwrap();
    let group = numbered(1_000);
    start_many(server.client(), &server, &group).await;
    let mut held = server.mailbox::<Request<EchoMsg>>("held", 1).await.unwrap();

    // One caller sends a single request over the first connection, which is answered when the storm
    // is over.
    let client = elsewhere.client().clone();
    let waits = client
        .request("held", EchoMsg::default())
        .deadline(secs(3_000));
    let waits = tokio::spawn(waits.send());
    let request = held.recv().await.unwrap();
    // Others send requests all the time.
    let over = Arc::new(AtomicBool::new(false));
    let asks = (0..4).map(|i| {
        let name = format!("m-{}", 2 * i);
        tokio::spawn(ask_until_over(client.clone(), name, over.clone()))
    });
    let asks: Vec<_> = asks.collect();

    let begun = clock();
    let left = Arc::new(AtomicUsize::new(broadcasts));
    let callers = (0..callers).map(|_| {
        let (client, group, left) = (client.clone(), group.clone(), left.clone());
        tokio::spawn(broadcast_while_left(client, group, left))
    });
    let (mut replies, mut cancelled) = (0, 0);
    for caller in callers.collect::<Vec<_>>() {
        let ended = caller.await.unwrap();
        replies += ended.0;
        cancelled += ended.1;
    }
    let took = begun.elapsed();
    over.store(true, Ordering::SeqCst);
    for ask in asks {
        let (asked, longest) = ask.await.unwrap();
        println!("{asked} requests beside it, the longest took {longest:?}");
        assert!(asked > 0);
    }
    request.respond(EchoMsg::new("at last")).unwrap();
    assert_eq!(waits.await.unwrap().unwrap().msg, "at last");
    println!("{broadcasts} broadcasts in {took:?}: {replies} replies, {cancelled} cancelled");
    assert_eq!(replies, broadcasts);
}

/// Sends requests to one member, one after the other; returns their number and the longest time.
async fn ask_until_over(client: Client, name: String, over: Arc<AtomicBool>) -> (u32, Duration) {
    let (mut asked, mut longest) = (0, Duration::ZERO);
    while !over.load(Ordering::SeqCst) {
        let begun = clock();
        let reply = client.request(name.as_str(), EchoMsg::default()).await;
        assert_eq!(reply.unwrap().msg, name);
        longest = longest.max(begun.elapsed());
        asked += 1;
    }
    (asked, longest)
}

/// Runs the broadcasts of one caller; returns the numbers of replies and of cancelled requests.
async fn broadcast_while_left(
    client: Client,
    group: Group,
    left: Arc<AtomicUsize>,
) -> (usize, usize) {
    let take = |left: usize| left.checked_sub(1);
    let (mut replies, mut cancelled) = (0, 0);
    while left
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
        .is_ok()
    {
        // Their duration does not count here: the last of them wait for the others.
        let result = client.broadcast(&group, EchoMsg::default()).fastest();
        let result = result.deadline(secs(120)).await;
        if let Some((name, error)) = result.failures().next() {
            panic!("{name}: {error:?}");
        }
        replies += result.successes().count();
        cancelled += result
            .iter()
            .filter(|(_, o)| {
                matches!(
                    o,
                    Outcome::Cancelled {
                        may_have_executed: true
                    }
                )
            })
            .count();
    }
    (replies, cancelled)
}
