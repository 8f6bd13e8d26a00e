use std::time::Duration;

use tokio::sync::oneshot;

use super::*;
use crate::message::{Ack, ActorStart, EchoMsg};
use crate::route::{Answer, Caller, Headers, Meta, ReplyTo};

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

fn incoming<M: Message>(message: M) -> (Incoming, oneshot::Receiver<Answer>) {
    let meta = Meta {
        id: RequestId(1),
        deadline: Deadline::after(Duration::from_secs(1)),
        token: None,
        headers: Headers::default(),
        caller: Caller::local(),
    };
    let (reply_to, answer) = ReplyTo::channel();
    let incoming = Incoming::new(Body::value(message), meta, 1024, reply_to);
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
async fn a_set_tells_the_requester_of_a_message_that_it_does_not_take() {
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
