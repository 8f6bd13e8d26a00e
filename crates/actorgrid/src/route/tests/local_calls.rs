//! The calls of the local route: their deadlines, and who has left.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::Runtime;

use crate::environment::{Deadline, Environment, Simulation};
use crate::error::{Executed, RequestError};
use crate::message::{Body, EchoMsg};
use crate::request::{MessageSet as _, Request};
use crate::route::caller::Caller;
use crate::route::conformance::{House, LIMIT};
use crate::route::directory::Directory;
use crate::route::headers::Headers;
use crate::route::local::{LocalRefusal, LocalRequest, LocalRoute};
use crate::route::local_call::{LocalCall, LocalOutcome};
use crate::route::local_calls::CallDeadlines;
use crate::route::meta::{Meta, RequestId};

const TIME: Duration = Duration::from_secs(3);
/// How late the end of a deadline may be noticed.
const LATE: Duration = Duration::from_millis(10);

struct World {
    environment: Environment,
    house: Arc<House>,
    route: LocalRoute,
    deadlines: CallDeadlines,
}

impl World {
    fn new() -> Self {
        let environment = Simulation::new(1).environment();
        let house: Arc<House> = Arc::default();
        let directory = Arc::clone(&house) as Arc<dyn Directory>;
        let (route, deadlines) = LocalRoute::start(directory, LIMIT, &environment);
        Self {
            environment,
            house,
            route,
            deadlines,
        }
    }

    fn begin(&self, receiver: &str) -> Result<LocalCall, LocalRefusal> {
        self.begin_as(receiver, &Context::from_waker(Waker::noop()))
    }

    fn begin_as(&self, receiver: &str, cx: &Context<'_>) -> Result<LocalCall, LocalRefusal> {
        let request = LocalRequest {
            receiver,
            body: Body::value(EchoMsg::new("hello")),
            meta: meta(),
        };
        let resolved = self.route.resolve(receiver);
        let reserved = self.route.reserve(&request.meta, TIME, cx).unwrap();
        self.route.begin(resolved, reserved, request)
    }

    fn has_place(&self) -> bool {
        let cx = Context::from_waker(Waker::noop());
        self.route.reserve(&meta(), TIME, &cx).is_some()
    }
}

fn meta() -> Meta {
    Meta {
        id: RequestId(1),
        deadline: Deadline::after(TIME),
        token: None,
        headers: Headers::default(),
        caller: Some(Caller::local()),
    }
}

async fn outcome(mut call: LocalCall) -> LocalOutcome {
    std::future::poll_fn(|cx| call.poll(cx)).await
}

fn poll(call: &mut LocalCall) -> Poll<LocalOutcome> {
    call.poll(&Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_handed_out_by_its_deadline_is_not_executed() {
    let world = World::new();
    let queued = world.house.unread("a");
    let begun = world.environment.now();
    let call = world.begin("a").unwrap();
    let outcome = outcome(call).await;
    let took = world.environment.now().since(begun);
    assert!(matches!(outcome, LocalOutcome::Overdue(Executed::No)));
    assert!((TIME..=TIME + LATE).contains(&took), "{took:?}");
    assert!(queued.lock().unwrap().is_empty());
    assert_eq!(world.route.unanswered(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_handed_out_may_be_executed_at_its_deadline() {
    let world = World::new();
    let mut handed_out = world.house.queue("a");
    let call = world.begin("a").unwrap();
    let request = handed_out.recv().await.unwrap();
    let outcome = outcome(call).await;
    assert!(matches!(outcome, LocalOutcome::Overdue(Executed::Maybe)));
    assert_eq!(world.route.unanswered(), 0);
    assert!(request.respond(EchoMsg::new("late")).is_err());
}

#[tokio::test(start_paused = true)]
async fn calls_end_at_their_deadlines_again_after_a_time_without_any() {
    let world = World::new();
    let _queued = world.house.unread("a");
    for _ in 0..3 {
        let call = world.begin("a").unwrap();
        let outcome = outcome(call).await;
        assert!(matches!(outcome, LocalOutcome::Overdue(Executed::No)));
        world.environment.sleep(TIME).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_at_the_deadline_is_not_lost() {
    let world = World::new();
    let mut handed_out = world.house.queue("a");
    let mut call = world.begin("a").unwrap();
    let request = handed_out.recv().await.unwrap();
    assert!(poll(&mut call).is_pending());
    world.environment.sleep(TIME + LATE).await;
    request.respond(EchoMsg::new("in time")).unwrap();
    assert!(matches!(
        poll(&mut call),
        Poll::Ready(LocalOutcome::Replied(_))
    ));
    assert_eq!(world.route.unanswered(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_takes_the_request_out_of_its_queue() {
    let world = World::new();
    let queued = world.house.unread("a");
    let call = world.begin("a").unwrap();
    assert_eq!(queued.lock().unwrap().len(), 1);
    drop(call);
    assert!(queued.lock().unwrap().is_empty());
    assert_eq!(world.route.unanswered(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_receiver_learns_at_once_that_the_requester_has_left() {
    let world = World::new();
    let mut handed_out = world.house.queue("a");
    let call = world.begin("a").unwrap();
    let mut request = handed_out.recv().await.unwrap();
    assert!(!request.pending().is_abandoned());
    let mut left = std::pin::pin!(async move {
        request.pending().abandoned().await;
        assert!(request.pending().is_abandoned());
    });
    assert!(left.as_mut().now_or_never().is_none());
    let before = world.environment.now();
    drop(call);
    left.await;
    assert_eq!(world.environment.now(), before);
}

#[tokio::test(start_paused = true)]
async fn a_place_is_used_again_and_an_old_answer_does_not_reach_its_next_call() {
    let world = World::new();
    let mut handed_out = world.house.queue("a");
    drop(world.begin("a").unwrap());
    let old = handed_out.recv().await.unwrap();
    let mut call = world.begin("a").unwrap();
    let new = handed_out.recv().await.unwrap();
    assert!(old.respond(EchoMsg::new("old")).is_err());
    assert!(poll(&mut call).is_pending());
    new.respond(EchoMsg::new("new")).unwrap();
    let Poll::Ready(LocalOutcome::Replied(reply)) = poll(&mut call) else {
        panic!("no reply");
    };
    let reply: EchoMsg = reply.into_message().ok().unwrap();
    assert_eq!(reply.msg, "new");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_returns_the_message_and_keeps_no_place() {
    let world = World::new();
    world.house.full("a");
    for receiver in ["a", "nobody"] {
        let refusal = world.begin(receiver).err().unwrap();
        assert_eq!(refusal.error.executed(), Executed::No);
        assert!(refusal.body.is_some());
        assert_eq!(world.route.unanswered(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_rejected_in_its_queue_returns_its_message() {
    let world = World::new();
    let queued = world.house.unread("a");
    let mut call = world.begin("a").unwrap();
    let incoming = queued.lock().unwrap().pop().unwrap();
    incoming.give_back(RequestError::busy());
    let Poll::Ready(LocalOutcome::Failed { error, body }) = poll(&mut call) else {
        panic!("it has not failed");
    };
    assert_eq!(error.executed(), Executed::No);
    assert!(body.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_panics_while_it_takes_a_request_leaves_no_place_behind() {
    let world = World::new();
    world.house.open("a", |_| panic!("as asked"));
    let begun = catch_unwind(AssertUnwindSafe(|| world.begin("a")));
    assert!(begun.is_err());
    assert_eq!(world.route.unanswered(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_is_answered() {
    let world = World::new();
    world.house.open("a", |incoming| {
        drop(Request::<EchoMsg>::receive(incoming));
        Ok(())
    });
    let mut call = world.begin("a").unwrap();
    assert!(matches!(
        poll(&mut call),
        Poll::Ready(LocalOutcome::Failed { .. })
    ));
    drop(call);
    assert_eq!(world.route.unanswered(), 0);
}

/// Counts how often it is woken, and does something when its clone is dropped.
struct Observer {
    woken: AtomicUsize,
    panics: bool,
}

impl std::task::Wake for Observer {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics, "as asked");
    }
}

fn observer(panics: bool) -> (Arc<Observer>, Waker) {
    let woken = AtomicUsize::new(0);
    let observer = Arc::new(Observer { woken, panics });
    let waker = observer.clone().into();
    (observer, waker)
}

#[tokio::test(start_paused = true)]
async fn a_waker_and_a_log_that_panic_do_not_keep_others_from_their_deadlines() {
    let _log = tracing::subscriber::set_default(PanickingLog);
    let world = World::new();
    let _queued = world.house.unread("a");
    let (observer, waker) = observer(true);
    let mut first = world.begin("a").unwrap();
    assert!(first.poll(&Context::from_waker(&waker)).is_pending());
    let others = [world.begin("a").unwrap(), world.begin("a").unwrap()];
    for other in others {
        let outcome = outcome(other).await;
        assert!(matches!(outcome, LocalOutcome::Overdue(Executed::No)));
    }
    assert_eq!(observer.woken.load(Ordering::Relaxed), 1);
    assert!(poll(&mut first).is_ready());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_woken_for_a_request_that_is_refused_or_withdrawn() {
    let world = World::new();
    let _queued = world.house.unread("a");
    world.house.full("full");
    let (observer, waker) = observer(false);
    let cx = Context::from_waker(&waker);
    assert!(world.begin_as("full", &cx).is_err());
    drop(world.begin_as("a", &cx).unwrap());
    assert_eq!(observer.woken.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_has_answered_is_not_told_that_the_requester_leaves() {
    let world = World::new();
    let mut handed_out = world.house.queue("a");
    let mut call = world.begin("a").unwrap();
    let mut request = handed_out.recv().await.unwrap();
    let (observer, waker) = observer(true);
    {
        let mut left = std::pin::pin!(request.pending().abandoned());
        let mut cx = Context::from_waker(&waker);
        assert!(left.as_mut().poll(&mut cx).is_pending());
    }
    request.respond(EchoMsg::new("reply")).unwrap();
    assert!(matches!(
        poll(&mut call),
        Poll::Ready(LocalOutcome::Replied(_))
    ));
    assert_eq!(observer.woken.load(Ordering::Relaxed), 0);
}

/// A waker whose drop frees another place of the same shard.
struct Holder(#[allow(dead_code)] Mutex<Option<LocalCall>>); // held for its drop

impl std::task::Wake for Holder {
    fn wake(self: Arc<Self>) {}
}

#[tokio::test(start_paused = true)]
async fn a_waker_is_dropped_without_the_lock_of_its_place() {
    let world = World::new();
    let _queued = world.house.unread("a");
    let held = world.begin("a").unwrap();
    let holder: Waker = Arc::new(Holder(Mutex::new(Some(held)))).into();
    let mut call = world.begin_as("a", &Context::from_waker(&holder)).unwrap();
    drop(holder);
    // The last clone of the waker is in the place of the call, and goes.
    assert!(poll(&mut call).is_pending());
    assert_eq!(world.route.unanswered(), 1);
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

#[test]
fn who_is_on_another_runtime_has_a_timer_of_its_own() {
    let (own, other) = (runtime(), runtime());
    let world = own.block_on(async { World::new() });
    assert!(!other.block_on(async { world.has_place() }));
    assert!(!world.has_place());
    assert!(own.block_on(async { world.has_place() }));
}

#[tokio::test(start_paused = true)]
async fn so_little_time_needs_a_timer() {
    let world = World::new();
    let cx = Context::from_waker(Waker::noop());
    let reserve = |time| world.route.reserve(&meta(), time, &cx);
    assert!(reserve(Duration::from_millis(99)).is_none());
    assert!(reserve(Duration::from_millis(100)).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_shortest_call_that_has_a_place_ends_in_time() {
    let world = World::new();
    let _queued = world.house.unread("a");
    let time = Duration::from_millis(100);
    let cx = Context::from_waker(Waker::noop());
    for offset in 0..25 {
        world.environment.sleep(Duration::from_millis(offset)).await;
        let request = LocalRequest {
            receiver: "a",
            body: Body::value(EchoMsg::new("hello")),
            meta: Meta {
                deadline: Deadline::after(time),
                ..meta()
            },
        };
        let begun = world.environment.now();
        let reserved = world.route.reserve(&request.meta, time, &cx).unwrap();
        let resolved = world.route.resolve("a");
        let call = world.route.begin(resolved, reserved, request).ok().unwrap();
        // Another one must not keep the task from looking.
        let longer = world.begin("a").unwrap();
        outcome(call).await;
        let took = world.environment.now().since(begun);
        assert!((time..=time + LATE).contains(&took), "{took:?}");
        drop(longer);
    }
}

/// Calls that nobody polls for, and one that was handed out.
#[test]
fn calls_end_when_the_runtime_of_their_peer_goes() {
    let own = runtime();
    let (observer, waker) = observer(false);
    let cx = Context::from_waker(&waker);
    let (world, mut queued, mut taken, request) = own.block_on(async {
        let world = World::new();
        let _queued = world.house.unread("a");
        let mut handed_out = world.house.queue("b");
        let queued = world.begin_as("a", &cx).unwrap();
        let taken = world.begin_as("b", &cx).unwrap();
        let request = handed_out.recv().await.unwrap();
        (world, queued, taken, request)
    });
    let handle = own.handle().clone();
    drop(own);
    assert_eq!(observer.woken.load(Ordering::Relaxed), 2);
    for (call, executed) in [(&mut queued, Executed::No), (&mut taken, Executed::Maybe)] {
        let Poll::Ready(LocalOutcome::Failed { error, .. }) = call.poll(&cx) else {
            panic!("it waits");
        };
        assert_eq!(error.executed(), executed);
    }
    assert!(request.respond(EchoMsg::new("late")).is_err());
    let _entered = handle.enter();
    assert!(!world.has_place());
}

#[tokio::test(start_paused = true)]
async fn the_tasks_end_with_their_server_or_with_the_last_call() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    World::new().deadlines.end().await;
    assert_eq!(metrics.num_alive_tasks(), before);

    let world = World::new();
    let _queued = world.house.unread("a");
    let call = world.begin("a").unwrap();
    world.deadlines.end().await;
    let cx = Context::from_waker(Waker::noop());
    assert!(world.route.reserve(&meta(), TIME, &cx).is_none());
    assert_eq!(metrics.num_alive_tasks(), before + 2);
    assert!(matches!(outcome(call).await, LocalOutcome::Overdue(_)));
    world.environment.sleep(2 * LATE).await;
    assert_eq!(metrics.num_alive_tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn so_many_calls_have_places() {
    let world = World::new();
    let meta = meta();
    let cx = Context::from_waker(Waker::noop());
    let reserved: Vec<_> = (0..4_096)
        .map(|_| world.route.reserve(&meta, TIME, &cx).unwrap())
        .collect();
    assert!(!world.has_place());
    drop(reserved);
    assert!(world.has_place());
}

#[tokio::test(start_paused = true)]
async fn the_last_waker_is_woken() {
    let world = World::new();
    let mut handed_out = world.house.queue("a");
    let [(first, before), (second, now)] = [observer(false), observer(false)];
    let mut call = world.begin_as("a", &Context::from_waker(&before)).unwrap();
    assert!(call.poll(&Context::from_waker(&now)).is_pending());
    let request = handed_out.recv().await.unwrap();
    request.respond(EchoMsg::new("reply")).unwrap();
    let woken = [first, second].map(|observer| observer.woken.load(Ordering::Relaxed));
    assert_eq!(woken, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_counted_once() {
    let world = World::new();
    let failures = || world.house.failed().len();
    let mut handed_out = world.house.queue("a");
    for read in [true, false] {
        let before = failures();
        let mut call = world.begin("a").unwrap();
        drop(handed_out.recv().await.unwrap());
        if read {
            assert!(poll(&mut call).is_ready());
        }
        drop(call);
        assert_eq!(failures(), before + 1);
    }
    let before = failures();
    world.house.full("full");
    assert!(world.begin("full").is_err());
    assert_eq!(failures(), before + 1);
    drop(world.begin("a").unwrap());
    assert_eq!(failures(), before + 1);
}

/// Each of many calls is answered, dropped or overdue at once, and has one outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_has_one_outcome() {
    let environment = Environment::real();
    let house: Arc<House> = Arc::default();
    let directory = Arc::clone(&house) as Arc<dyn Directory>;
    let (route, deadlines) = LocalRoute::start(directory, LIMIT, &environment);
    let mut handed_out = house.queue("a");
    let receiver = environment.spawn(async move {
        let (mut received, mut read) = (0, 0);
        while let Some(request) = handed_out.recv().await {
            received += 1;
            read += usize::from(request.respond(EchoMsg::new("reply")).is_ok());
        }
        (received, read)
    });
    let mut requesters = Vec::new();
    for requester in 0..4_u128 {
        let route = route.clone();
        requesters.push(environment.spawn(async move {
            let mut replied = 0;
            for number in 0..2_000 {
                let meta = Meta {
                    id: RequestId(number),
                    ..meta()
                };
                let begun = std::future::poll_fn(|cx| {
                    let reserved = route.reserve(&meta, TIME, cx).unwrap();
                    let request = LocalRequest {
                        receiver: "a",
                        body: Body::value(EchoMsg::new("hello")),
                        meta: meta.clone(),
                    };
                    Poll::Ready(route.begin(route.resolve("a"), reserved, request))
                });
                let mut call = begun.await.ok().unwrap();
                if (number + requester) % 3 == 0 {
                    // The answer may have come, or comes now.
                    drop(call);
                    continue;
                }
                let outcome = std::future::poll_fn(|cx| call.poll(cx)).await;
                assert!(matches!(outcome, LocalOutcome::Replied(_)));
                replied += 1;
            }
            replied
        }));
    }
    let mut replied = 0;
    for requester in requesters {
        replied += requester.await.unwrap();
    }
    assert_eq!(route.unanswered(), 0);
    house.close("a");
    let (received, read) = receiver.await.unwrap();
    assert_eq!(received, 8_000);
    assert!(read >= replied);
    deadlines.end().await;
}

/// Panics when something is logged.
struct PanickingLog;

impl tracing::Subscriber for PanickingLog {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        panic!("as asked")
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
