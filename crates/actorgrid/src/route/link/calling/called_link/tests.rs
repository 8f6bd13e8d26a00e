//! The decisions of a link about its calls, without a task or a socket.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;

use super::*;
use crate::message::{DecodeError, EchoMsg, Message};
use crate::route::conformance::call;
use crate::route::link::calling::link_call;
use crate::route::link::{
    FrameContent, InternLimits, InternedId, MAX_BODY_BYTES, ReplyFrame, TextReference,
};

type Calling = Pin<Box<dyn Future<Output = LinkOutcome>>>;

/// The number of the first request of a link.
const FIRST: u64 = 1 << 16;

fn limits() -> HelloLimits {
    HelloLimits {
        max_message_bytes: 1_000_000,
        credit_bytes: 1_000_000,
        credit_requests: 1_000,
        max_unanswered: 1_000,
        names: InternLimits::default(),
        types: InternLimits::default(),
    }
}

fn opened() -> Arc<CalledLink> {
    let link = CalledLink::new(limits());
    link.open(limits());
    Arc::new(link)
}

fn calling(link: &Arc<CalledLink>, receiver: &str, text: &str) -> Calling {
    sending(link, call(receiver, EchoMsg::new(text)))
}

fn sending(link: &Arc<CalledLink>, mut call: Call) -> Calling {
    let link = Arc::clone(link);
    call.meta.token = Some("1:1".parse().unwrap());
    Box::pin(async move { link_call::call(&link, &mut call, None).await })
}

fn lost() -> LinkEnding {
    LinkEnding::Lost("test".to_owned())
}

/// An answer comes.
fn complete(link: &CalledLink, answer: (u64, u64, ReadAnswer)) {
    let completed = link.complete([answer].into_iter(), &mut Leftovers::default());
    completed.unwrap();
}

/// Takes what is to be written. Returns how many bytes that is.
fn take(link: &CalledLink) -> usize {
    link.with_outbox(|outbox| outbox.take(BytesMut::new()).bytes.len())
}

#[tokio::test(start_paused = true)]
async fn a_large_message_may_be_executed_once_its_last_chunk_is_with_the_socket() {
    for is_whole in [false, true] {
        let link = opened();
        let text = "x".repeat(MAX_BODY_BYTES + 10_000);
        let mut large = calling(&link, "a", &text);
        assert!(large.as_mut().now_or_never().is_none());
        take(&link);
        link.ticket(FIRST);
        assert!(take(&link) > MAX_BODY_BYTES);
        if is_whole {
            assert!(take(&link) > 10_000);
        }
        link.end(lost());
        let outcome = large.now_or_never().unwrap();
        let executed = if is_whole {
            Executed::Maybe
        } else {
            Executed::No
        };
        assert_eq!(outcome.executed(), executed, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_first_terminal_frame_of_a_request_counts() {
    let link = opened();
    let mut given_up = calling(&link, "a", "x");
    let mut other = calling(&link, "a", "y");
    assert!(given_up.as_mut().now_or_never().is_none());
    assert!(other.as_mut().now_or_never().is_none());
    drop(given_up);
    let answer = |sequence| (sequence, 0, ReadAnswer::Error(RequestError::busy()));
    let unanswered = || link.lock().unanswered.count();
    assert_eq!(unanswered(), 2);
    for _ in 0..2 {
        complete(&link, answer(FIRST));
        assert_eq!(unanswered(), 1);
    }
    let third = calling(&link, "a", "z").now_or_never();
    assert!(third.is_none());
    for _ in 0..2 {
        complete(&link, answer(2 * FIRST + 1));
        assert_eq!(unanswered(), 1, "the third");
    }
    let outcome = other.now_or_never().unwrap();
    assert!(matches!(outcome, LinkOutcome::Failed(_)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn callers_that_do_not_come_let_the_others_pass_within_some_looks() {
    #[derive(Default)]
    struct Woken(AtomicUsize);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let link = Arc::new(CalledLink::new(limits()));
    let mut calls = Vec::new();
    for number in 0..100 {
        let mut call = calling(&link, &number.to_string(), "x");
        assert!(call.as_mut().now_or_never().is_none());
        calls.push(call);
    }
    let mut last = calling(&link, "last", "x");
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    assert!(last.as_mut().poll(&mut cx).is_pending());
    link.open(limits());
    for _ in 0..6 {
        assert!(last.as_mut().poll(&mut cx).is_pending());
        assert!(!link.has_unanswered());
        link.pass_absent();
    }
    assert!(woken.0.load(Ordering::Relaxed) > 0);
    assert!(last.as_mut().poll(&mut cx).is_pending());
    assert!(link.has_unanswered());
    for call in &mut calls {
        assert!(call.as_mut().now_or_never().is_none());
    }
    assert_eq!(link.lock().unanswered.count(), 101);
}

/// A waker that needs the link where it is dropped, as one does whose task has the last part of a
/// call on the link.
struct NeedsLink(Arc<CalledLink>);

impl Wake for NeedsLink {
    fn wake(self: Arc<Self>) {}
}

impl Drop for NeedsLink {
    fn drop(&mut self) {
        assert!(is_unlocked(&self.0), "a waker is dropped with the lock");
    }
}

fn is_unlocked(link: &CalledLink) -> bool {
    link.state.try_lock().is_ok()
}

#[tokio::test(start_paused = true)]
async fn wakers_are_dropped_without_the_lock() {
    let link = Arc::new(CalledLink::new(limits()));
    let poll = |call: &mut Calling| {
        let waker = Waker::from(Arc::new(NeedsLink(Arc::clone(&link))));
        let mut cx = Context::from_waker(&waker);
        assert!(call.as_mut().poll(&mut cx).is_pending());
    };
    let mut calls: Vec<_> = (0..4).map(|_| calling(&link, "a", "x")).collect();
    for call in &mut calls {
        poll(call);
        poll(call);
    }
    drop(calls.pop());
    link.open(limits());
    for call in &mut calls {
        poll(call);
    }
    drop(calls.pop());
    let answer = (FIRST, 0, ReadAnswer::Error(RequestError::busy()));
    complete(&link, answer);
    link.end(lost());
    for mut call in calls {
        let waker = Waker::from(Arc::new(NeedsLink(Arc::clone(&link))));
        let mut cx = Context::from_waker(&waker);
        assert!(call.as_mut().poll(&mut cx).is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_used_meanwhile_is_not_closed_as_idle() {
    let link = opened();
    let uses = link.uses();
    let mut call = calling(&link, "a", "x");
    assert!(call.as_mut().now_or_never().is_none());
    assert!(!link.close_unused(uses) && link.is_usable());
    drop(call);
    assert!(!link.close_unused(link.uses()), "its answer is not there");
    let answer = (FIRST, 0, ReadAnswer::Error(RequestError::busy()));
    complete(&link, answer);
    assert!(!link.close_unused(uses));
    assert!(link.close_unused(link.uses()) && !link.is_usable());
    let outcome = calling(&link, "a", "x").now_or_never().unwrap();
    assert_eq!(outcome.executed(), Executed::No);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_read_is_not_owed_an_answer() {
    let link = opened();
    let mut given_up = calling(&link, "a", "x");
    assert!(given_up.as_mut().now_or_never().is_none());
    drop(given_up);
    assert!(link.has_unanswered());
    link.gone_away(0, GoAwayReason::Idle);
    assert!(!link.has_unanswered());
}

#[tokio::test(start_paused = true)]
async fn short_replies_are_taken_together_and_keep_their_types() {
    let link = opened();
    let mut call = call("a", EchoMsg::new("x"));
    call.meta.token = Some("1:1".parse().unwrap());
    let request = call.link_request().unwrap();
    let cx = Context::from_waker(Waker::noop());
    let time_left = Duration::from_secs(1);
    let mut types = InternedTexts::new(InternLimits {
        entries: 2,
        bytes: 100,
    });
    let ids = ["expected", "other"].map(|text| {
        let id = InternedId::new(1 + u32::from(text == "other")).unwrap();
        types
            .resolve(TextReference::Define(id, text), ReplyType::new)
            .unwrap();
        id
    });
    let mut buffer = BytesMut::new();
    let mut keys = Vec::new();
    for number in 0..PLAIN_AT_ONCE as u64 + 2 {
        let key = link.begin_open(&request, time_left, "expected", &cx);
        keys.push(key.unwrap());
        let reply = ReplyFrame {
            sequence: (number + 1) << 16 | number,
            message_type: TextReference::Interned(ids[usize::from(number == 1)]),
            content: FrameContent::Whole(&[number as u8; 3]),
        };
        reply.encode(&mut buffer).unwrap();
    }
    let whole = buffer.len();
    buffer.extend_from_slice(&[0; 20]);
    let mut left = Leftovers::default();
    let mut taken = link.take_plain(&buffer, &mut types, &mut left).unwrap();
    assert!(taken < whole);
    taken += link
        .take_plain(&buffer[taken..], &mut types, &mut left)
        .unwrap();
    assert_eq!(taken, whole);
    let nothing = link.take_plain(&buffer[taken..], &mut types, &mut left);
    assert_eq!(nothing, Ok(0));
    for (number, key) in (0..).zip(keys) {
        let mut reply = ShortReply::EMPTY;
        let polled = link.poll_begun(&mut Some(key), || request, &mut reply, &cx);
        let Poll::Ready(LinkOutcome::Short(wire_name)) = polled else {
            panic!("{polled:?}")
        };
        assert_eq!(wire_name.as_deref(), (number == 1).then_some("other"));
        assert_eq!(reply.bytes(), [number; 3]);
    }
    assert!(!link.has_calls());
}

/// A message whose code needs the link, or panics.
enum Troubling {
    NeedsLink(Arc<CalledLink>),
    Panics,
}

impl Troubling {
    fn is_asked(&self) {
        match self {
            Self::NeedsLink(link) => assert!(is_unlocked(link), "it is asked with the lock"),
            Self::Panics => panic!("on purpose"),
        }
    }
}

impl Message for Troubling {
    type Reply = EchoMsg;
    const WIRE_NAME: &'static str = "test/Troubling";

    fn wire_name(&self) -> &str {
        self.is_asked();
        Self::WIRE_NAME
    }

    fn encoded_len(&self) -> usize {
        if let Self::NeedsLink(_) = self {
            self.is_asked();
        }
        0
    }

    fn encode(&self, _: &mut BytesMut) {}

    fn decode(_: &str, _: Bytes) -> Result<Self, DecodeError> {
        Ok(Self::Panics)
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_asked_for_its_name_and_length_without_the_lock() {
    let link = Arc::new(CalledLink::new(limits()));
    let message = Troubling::NeedsLink(Arc::clone(&link));
    let mut waiting = sending(&link, call("a", message));
    for _ in 0..2 {
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    link.open(limits());
    assert!(waiting.as_mut().now_or_never().is_none());
    assert!(link.has_unanswered());
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_name_of_a_message_leaves_no_call_behind_and_others_go_on() {
    let link = opened();
    let mut other = calling(&link, "a", "x");
    assert!(other.as_mut().now_or_never().is_none());
    let mut panics = sending(&link, call("a", Troubling::Panics));
    let polled = catch_unwind(AssertUnwindSafe(|| panics.as_mut().now_or_never()));
    assert!(polled.is_err());
    drop(panics);
    assert_eq!(link.lock().calls.len(), 1);
    assert_eq!(link.lock().waiting, 0);
    complete(&link, (FIRST, 0, ReadAnswer::Error(RequestError::busy())));
    assert!(other.now_or_never().is_some());
    assert!(!link.has_calls());
}

#[tokio::test(start_paused = true)]
async fn a_link_on_which_nothing_happens_keeps_no_large_buffer_and_the_places_of_its_calls() {
    let link = opened();
    let mut call = calling(&link, "a", "x");
    assert!(call.as_mut().now_or_never().is_none());
    take(&link);
    link.with_outbox(|outbox| outbox.data().reserve(1024 * 1024));
    link.release_room();
    let kept = link.with_outbox(|outbox| outbox.data().capacity());
    assert!(kept <= 16 * 1024, "{kept}");
    complete(&link, (FIRST, 0, ReadAnswer::Error(RequestError::busy())));
    assert!(call.now_or_never().is_some());
}
