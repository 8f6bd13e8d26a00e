//! Sets that receive requests, and answers that arrive or are returned.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::failure::MAX_DETAIL_BYTES;
use super::*;
use crate::code::Code;
use crate::environment::{Deadline, Simulation};
use crate::error::{BoxError, RequestError, RequestErrorKind};
use crate::message::{Ack, ActorStart, Body, DecodeError, EchoMsg, Message, Payload};
use crate::route::{AnswerReader, Caller, Headers, Incoming, Meta, ReplyTo, RequestId};
use crate::session::{Fence, FenceReason};

const LIMIT: usize = 1024;

#[derive(Debug, actorgrid::MessageSet)]
enum Work {
    Echo(Request<EchoMsg>),
    Start(Request<ActorStart>),
}

#[derive(Debug, actorgrid::MessageSet)]
enum Anything {
    Work(Work),
    Other(Request<Payload>),
}

fn incoming<M: Message>(message: M) -> (Incoming, AnswerReader) {
    let meta = Meta {
        id: RequestId(1),
        deadline: Deadline::after(Duration::from_secs(1)),
        token: None,
        headers: Headers::default(),
        caller: Some(Caller::local()),
    };
    let (reply_to, answer) = ReplyTo::channel();
    let incoming = Incoming::new(Body::value(message), meta, LIMIT, reply_to);
    (incoming, answer)
}

#[tokio::test(start_paused = true)]
async fn a_set_hands_a_message_to_the_first_variant_that_accepts_it() {
    let (echo, _answer) = incoming(EchoMsg::new("hi"));
    let Some(Anything::Work(Work::Echo(echo))) = Anything::receive(echo) else {
        panic!("not the first variant");
    };
    assert_eq!(echo.message(), &EchoMsg::new("hi"));

    let (start, _answer) = incoming(ActorStart::new("worker", "echo"));
    let received = Anything::receive(start);
    assert!(matches!(received, Some(Anything::Work(Work::Start(_)))));

    let (other, _answer) = incoming(Ack {});
    let Some(Anything::Other(other)) = Anything::receive(other) else {
        panic!("not the variant for the rest");
    };
    assert_eq!(other.message(), &Payload::of(&Ack {}));
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_set_is_that_of_its_request() {
    let (start, answer) = incoming(ActorStart::new("worker", "echo"));
    let mut received = Anything::receive(start).unwrap();
    received.pending().hand_out();
    drop(received);
    let error = answer.await.unwrap().err().unwrap();
    assert_eq!(error.kind(), RequestErrorKind::NoReply);
}

#[tokio::test(start_paused = true)]
async fn a_set_answers_messages_that_it_does_not_accept_or_cannot_decode() {
    let (ack, answer) = incoming(Ack {});
    assert!(Work::receive(ack).is_none());
    let error = answer.await.unwrap().err().unwrap();
    assert_eq!(error.kind(), RequestErrorKind::UnknownMessage);

    let broken = Payload::new(EchoMsg::WIRE_NAME, &b"\xff"[..]);
    let (broken, answer) = incoming(broken);
    assert!(Anything::receive(broken).is_none());
    let error = answer.await.unwrap().err().unwrap();
    assert_eq!(error.kind(), RequestErrorKind::InvalidMessage);
}

fn request(text: &str) -> (Request<EchoMsg>, AnswerReader) {
    let (incoming, answer) = incoming(EchoMsg::new(text));
    (Request::receive(incoming).unwrap(), answer)
}

async fn error(answer: AnswerReader) -> RequestError {
    answer.await.unwrap().unwrap_err()
}

async fn reply<M: Message>(answer: AnswerReader) -> M {
    answer.await.unwrap().unwrap().into_message().ok().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_set_is_answered_without_a_match_on_its_variants() {
    let (echo, answer) = incoming(EchoMsg::new("hi"));
    let received = Anything::receive(echo).unwrap();
    assert_eq!(received.wire_name(), EchoMsg::WIRE_NAME);
    received
        .fail(Failure::new("no").code(Code::Aborted))
        .unwrap();
    let error = error(answer).await;
    assert_eq!((error.text(), error.code()), ("no", Some(Code::Aborted)));

    let (start, answer) = incoming(ActorStart::new("worker", "echo"));
    let received = Anything::receive(start).unwrap();
    assert_eq!(received.wire_name(), ActorStart::WIRE_NAME);
    let responder = received.into_responder();
    responder.respond(Payload::of(&Ack {})).unwrap();
    assert_eq!(reply::<Ack>(answer).await, Ack {});

    // A payload's wire name is the one it carries.
    let (other, _answer) = incoming(Payload::new("shop/Job", &b"1"[..]));
    assert_eq!(Anything::receive(other).unwrap().wire_name(), "shop/Job");
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_nobody_waits_for_comes_back() {
    let (request, answer) = request("");
    drop(answer);
    let error = request.respond(EchoMsg::new("work")).unwrap_err();
    assert_eq!(error.kind(), RespondErrorKind::RequesterGone);
    assert!(!error.requester_waited());
    assert_eq!(error.into_reply(), Some(EchoMsg::new("work")));

    let (request, answer) = self::request("");
    drop(answer);
    let error = request.fail("work").unwrap_err();
    assert_eq!(error.kind(), RespondErrorKind::RequesterGone);
    assert_eq!(error.into_reply(), None);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_too_large_comes_back_and_the_requester_knows() {
    let large = EchoMsg::new("x".repeat(LIMIT));
    let (request, answer) = request("");
    let too_large = request.respond(large.clone()).unwrap_err();
    assert_eq!(too_large.kind(), RespondErrorKind::TooLarge);
    assert!(too_large.requester_waited());
    let length = Message::encoded_len(&large);
    assert_eq!(too_large.length(), Some(length));
    assert_eq!(too_large.limit(), Some(LIMIT));
    assert!(too_large.to_string().contains(&length.to_string()));
    assert_eq!(too_large.into_reply(), Some(large.clone()));
    assert_eq!(error(answer).await.kind(), RequestErrorKind::ReplyTooLarge);

    let (request, answer) = self::request("");
    drop(answer);
    let gone = request.respond(large.clone()).unwrap_err();
    assert_eq!(gone.kind(), RespondErrorKind::RequesterGone);
    assert_eq!((gone.length(), gone.requester_waited()), (None, false));
    assert_eq!(gone.into_reply(), Some(large));
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_a_fenced_peer_comes_back() {
    let environment = Simulation::new(1).environment();
    for waits in [true, false] {
        let until = environment.now() + Duration::from_secs(9);
        let fence = Arc::new(Fence::new(environment.clone(), until, until));
        let (mut incoming, answer) = incoming(EchoMsg::new(""));
        incoming.begin_reading(fence.clone());
        let mut request = Request::<EchoMsg>::receive(incoming).unwrap();
        request.pending().hand_out();
        fence.trip(FenceReason::LeaseLost);
        let answer = Some(answer).filter(|_| waits);
        let fenced = request.respond(EchoMsg::new("late")).unwrap_err();
        assert_eq!(fenced.kind(), RespondErrorKind::Fenced);
        assert_eq!(fenced.requester_waited(), waits);
        assert_eq!(fenced.into_reply(), Some(EchoMsg::new("late")));
        if let Some(answer) = answer {
            assert_eq!(error(answer).await.kind(), RequestErrorKind::NoReply);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn texts_errors_and_failures_are_answers() {
    #[derive(Debug)]
    struct OwnError;
    impl std::fmt::Display for OwnError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("own")
        }
    }
    impl std::error::Error for OwnError {}

    let failures: [(Failure, &str, Code); 6] = [
        ("text".into(), "text", Code::Unknown),
        (format!("{}", 7).into(), "7", Code::Unknown),
        (OwnError.into(), "own", Code::Unknown),
        (BoxError::from("boxed").into(), "boxed", Code::Unknown),
        (
            Failure::new(OwnError).code(Code::NotFound),
            "own",
            Code::NotFound,
        ),
        (
            Failure::new("x").code(Code::Aborted).detail(&Ack {}),
            "x",
            Code::Aborted,
        ),
    ];
    for (failure, text, code) in failures {
        let (request, answer) = request("");
        request.fail(failure).unwrap();
        let error = error(answer).await;
        assert_eq!(error.kind(), RequestErrorKind::Application);
        assert_eq!((error.text(), error.code()), (text, Some(code)));
        assert!(error.may_have_executed());
        assert_eq!(error.detail::<Ack>().is_some(), code == Code::Aborted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_detail_that_is_too_large_is_left_out() {
    let room = MAX_DETAIL_BYTES - "d/D".len();
    let (request, answer) = request("");
    let detail = Payload::new("d/D", vec![0; room]);
    request.fail(Failure::new("no").detail(&detail)).unwrap();
    assert_eq!(error(answer).await.detail(), Some(detail));

    let (request, answer) = self::request("");
    let detail = Payload::new("d/D", vec![0; room + 1]);
    let failure = Failure::new("no").detail(&detail).code(Code::Internal);
    let too_large = request.fail(failure).unwrap_err();
    assert_eq!(too_large.kind(), RespondErrorKind::TooLarge);
    assert_eq!(too_large.length(), Some(MAX_DETAIL_BYTES + 1));
    assert_eq!(too_large.limit(), Some(MAX_DETAIL_BYTES));
    assert!(too_large.requester_waited());
    let error = error(answer).await;
    assert_eq!((error.text(), error.code()), ("no", Some(Code::Internal)));
    assert_eq!(error.detail::<Payload>(), None);
}

/// A message that is `Send` and not `Sync`.
#[derive(Debug)]
struct NotSync(Cell<u8>);

impl Message for NotSync {
    type Reply = Self;
    const WIRE_NAME: &'static str = "test/NotSync";

    fn encoded_len(&self) -> usize {
        1
    }

    fn encode(&self, buffer: &mut BytesMut) {
        buffer.extend_from_slice(&[self.0.get()]);
    }

    fn decode(_wire_name: &str, bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(Self(Cell::new(bytes[0])))
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_passes_the_error_of_any_reply_on() {
    fn act(request: Request<NotSync>) -> Result<(), BoxError> {
        request.respond(NotSync(Cell::new(2)))?;
        Ok(())
    }
    let (incoming, answer) = incoming(NotSync(Cell::new(1)));
    drop(answer);
    let error = act(Request::receive(incoming).unwrap()).unwrap_err();
    let error = error.downcast::<RespondError<NotSync>>().unwrap();
    assert_eq!(error.into_reply().unwrap().0.get(), 2);
    // The result of a successful answer is as small as it can be.
    assert_eq!(
        size_of::<Result<(), RespondError<[u8; 1000]>>>(),
        size_of::<usize>()
    );
}
