//! Requests to one mailbox arrive in the order in which they were first polled, even while its name
//! is being decided.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::time::Duration;

use actorgrid::{
    Ack, Client, EchoMsg, Mailbox, MemoryFault, MemoryOperation, ReplyFuture, Request,
    RequestBuilder, RequestErrorKind, ServerState,
};
use futures_util::future::join_all;
use futures_util::poll;
use world::{MemoryWorld, clock, pass, secs};

type Inbox = Mailbox<Request<EchoMsg>>;
type Answer = ReplyFuture<EchoMsg>;

/// The maximum number of requests that wait for a name.
const MAX_WAITING: usize = 1024;

fn request(client: &Client, number: usize) -> RequestBuilder<EchoMsg> {
    let message = EchoMsg::new(number.to_string());
    client.request("a", message).deadline(secs(60))
}

/// Polls a request for the first time, which determines its place in the order.
async fn begin(request: RequestBuilder<EchoMsg>) -> Answer {
    let mut answer = request.into_future();
    assert!(poll!(&mut answer).is_pending());
    answer
}

async fn next(mailbox: &mut Inbox) -> usize {
    let request = mailbox.recv().await.unwrap();
    let message = request.message().clone();
    let number = message.msg.parse().unwrap();
    // The test may have dropped the request already.
    let _ = request.respond(message);
    number
}

/// Delays the next claim by a second.
fn delay_claim(world: &MemoryWorld) {
    let delay = MemoryFault::Delay(secs(1));
    world.registry.inject(MemoryOperation::Claim, delay);
}

#[tokio::test(start_paused = true)]
async fn requests_to_a_name_that_is_being_decided_arrive_in_their_order() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    delay_claim(&world);
    // The mailbox has room for fewer requests than wait for it: those that waited are admitted all
    // the same.
    let mut opening = Box::pin(server.mailbox::<Request<EchoMsg>>("a", 10));
    assert!(poll!(&mut opening).is_pending());
    let mut answers = Vec::new();
    for number in 0..1_000 {
        answers.push(begin(request(server.client(), number)).await);
    }
    let mut mailbox = opening.await.unwrap();
    // None of the waiting requests has been polled again yet.
    let late = request(server.client(), 1_000);
    let refused = request(server.client(), 1_001).once().await.unwrap_err();
    assert_eq!(refused.kind(), RequestErrorKind::Busy);
    let (arrived, answered) = tokio::join!(
        async {
            let mut arrived = Vec::new();
            while arrived.len() < 1_001 {
                arrived.push(next(&mut mailbox).await);
            }
            arrived
        },
        async {
            let late = late.await;
            let answered = join_all(answers).await;
            answered.into_iter().chain([late]).collect::<Vec<_>>()
        },
    );
    assert!(arrived.iter().copied().eq(0..=1_000), "{arrived:?}");
    for (number, answer) in answered.into_iter().enumerate() {
        assert_eq!(answer.unwrap().msg, number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_request_does_not_overtake_those_that_waited() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    delay_claim(&world);
    let mut opening = Box::pin(server.mailbox::<Request<EchoMsg>>("a", 2_000));
    assert!(poll!(&mut opening).is_pending());
    let mut answers = Vec::new();
    for number in 0..1_000 {
        answers.push(begin(request(server.client(), number)).await);
    }
    let mut mailbox = opening.await.unwrap();
    for number in 1_000..1_010 {
        answers.push(begin(request(server.client(), number)).await);
    }
    for expected in 0..1_010 {
        assert_eq!(next(&mut mailbox).await, expected);
    }
    for answer in join_all(answers).await {
        answer.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_name_is_bounded_and_leaves_with_its_requester() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    delay_claim(&world);
    let mut opening = Box::pin(server.mailbox::<Request<EchoMsg>>("a", 1));
    assert!(poll!(&mut opening).is_pending());
    let mut answers = Vec::new();
    for number in 0..MAX_WAITING {
        answers.push(begin(request(server.client(), number)).await);
    }
    let one_more = || request(server.client(), MAX_WAITING).once();
    let refused = one_more().await.unwrap_err();
    assert_eq!(refused.kind(), RequestErrorKind::Busy);
    assert!(!refused.may_have_executed());
    // The place of an abandoned request is free at once.
    drop(answers.remove(7));
    answers.push(begin(one_more()).await);
    let refused = one_more().await.unwrap_err();
    assert_eq!(refused.kind(), RequestErrorKind::Busy);
    let mut mailbox = opening.await.unwrap();
    for expected in (0..=MAX_WAITING).filter(|number| *number != 7) {
        assert_eq!(next(&mut mailbox).await, expected);
    }
    assert!(mailbox.is_empty());
    assert_eq!(server.statistics().requests_abandoned, 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_lost_gives_its_requests_back() {
    let world = MemoryWorld::new();
    let winner = world.server().bind("127.0.0.1:0").await.unwrap();
    let mut mailbox: Inbox = winner.mailbox("a", 10).await.unwrap();
    let loser = world.server().bind("127.0.0.1:0").await.unwrap();
    delay_claim(&world);
    let mut opening = Box::pin(loser.mailbox::<Request<EchoMsg>>("a", 10));
    assert!(poll!(&mut opening).is_pending());
    let client = loser.client();
    let once = begin(request(client, 0).once()).await;
    let mut answers = Vec::new();
    for number in 1..5 {
        // By value: the message itself must come back, or there is nothing to send to the winner.
        answers.push(begin(request(client, number)).await);
    }
    opening.await.unwrap_err();
    let error = once.await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::NotHeld);
    assert!(!error.may_have_executed());
    let serve = async {
        for _ in 0..9 {
            next(&mut mailbox).await;
        }
    };
    let answers = tokio::select! {
        biased;
        answers = join_all(answers) => answers,
        () = serve => panic!("more arrive than were sent"),
    };
    for (number, answer) in (1..5).zip(answers) {
        assert_eq!(answer.unwrap().msg, number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_for_an_earlier_holder_does_not_wait_for_the_next_one() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    let mut mailbox: Inbox = server.mailbox("a", 10).await.unwrap();
    let (answer, _) = tokio::join!(request(&client, 0).send(), next(&mut mailbox));
    answer.unwrap();
    mailbox.close().await;
    // The client still knows the token of the closed mailbox.
    delay_claim(&world);
    let mut opening = Box::pin(server.mailbox::<Request<EchoMsg>>("a", 10));
    assert!(poll!(&mut opening).is_pending());
    let ack = server.client().request("a", Ack {}).send();
    let (answer, other, mailbox) = tokio::join!(request(&client, 1).once().send(), ack, opening);
    assert_eq!(answer.unwrap_err().kind(), RequestErrorKind::NotHeld);
    // Nor does a request that the mailbox does not accept.
    assert_eq!(other.unwrap_err().kind(), RequestErrorKind::UnknownMessage);
    let mut mailbox = mailbox.unwrap();
    assert!(mailbox.is_empty());
    let (answer, arrived) = tokio::join!(request(&client, 2).send(), next(&mut mailbox));
    answer.unwrap();
    assert_eq!(arrived, 2);
}

#[tokio::test(start_paused = true)]
#[allow(clippy::disallowed_methods)] // the test joins its task
async fn requests_to_a_name_that_is_looked_up_arrive_in_their_order() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let mut mailbox: Inbox = server.mailbox("a", 200).await.unwrap();
    let client = world.client();
    world
        .registry
        .inject(MemoryOperation::Peek, MemoryFault::Delay(secs(1)));
    // The first one learns who holds the name; the others are not polled meanwhile.
    let first = tokio::spawn(begin(request(&client, 0)).await);
    let mut answers = Vec::new();
    for number in 1..100 {
        answers.push(begin(request(&client, number)).await);
    }
    assert_eq!(next(&mut mailbox).await, 0);
    first.await.unwrap().unwrap();
    // It comes when the holder is known.
    answers.push(begin(request(&client, 100)).await);
    answers.reverse();
    let (arrived, answered) = tokio::join!(
        async {
            let mut arrived = Vec::new();
            while arrived.len() < 100 {
                arrived.push(next(&mut mailbox).await);
            }
            arrived
        },
        join_all(answers),
    );
    assert!(arrived.iter().copied().eq(1..=100), "{arrived:?}");
    for answer in answered {
        answer.unwrap();
    }
}

/// The holder of the name turns out to be the requester's own peer.
#[tokio::test(start_paused = true)]
async fn a_request_to_a_mailbox_of_its_own_peer_does_not_overtake_one_that_is_looked_up() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let client = server.client();
    // Later requests wait for it, but no longer than a second.
    let delay = MemoryFault::Delay(secs(1) / 2);
    world.registry.inject(MemoryOperation::Peek, delay);
    // Nobody has the name yet, so the registry is asked.
    let first = begin(request(client, 0)).await;
    let mut mailbox: Inbox = server.mailbox("a", 10).await.unwrap();
    let second = begin(request(client, 1)).await;
    let arrived = async { [next(&mut mailbox).await, next(&mut mailbox).await] };
    let (first, second, arrived) = tokio::join!(first, second, arrived);
    first.unwrap();
    second.unwrap();
    assert_eq!(arrived, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_polled_does_not_hold_up_the_next_one() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let mut mailbox: Inbox = server.mailbox("a", 10).await.unwrap();
    let client = world.client();
    world
        .registry
        .inject(MemoryOperation::Peek, MemoryFault::Delay(secs(1)));
    let held = begin(request(&client, 0)).await;
    let begun = clock();
    let (answer, arrived) = tokio::join!(request(&client, 1).send(), next(&mut mailbox));
    answer.unwrap();
    assert_eq!(arrived, 1);
    let took = clock() - begun;
    assert!(took < secs(3), "{took:?}");
    let (answer, arrived) = tokio::join!(held, next(&mut mailbox));
    answer.unwrap();
    assert_eq!(arrived, 0);
}

#[tokio::test(start_paused = true)]
async fn over_a_rejoin_what_was_not_rejected_arrives_in_its_order() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let mut numbers = 0..;
    let mut answers = Vec::new();
    let mut begin = async |count: usize| {
        for number in numbers.by_ref().take(count) {
            let mut answer = request(server.client(), number).once().into_future();
            let _ = poll!(&mut answer).map(drop);
            answers.push((number, answer));
            // Lets other tasks run between two requests.
            pass(Duration::from_millis(1)).await;
        }
    };
    let mut mailbox: Inbox = server.mailbox("a", 100).await.unwrap();
    begin(50).await;
    world.expire_leases();
    let mut arrived = Vec::new();
    // Some requests are handed out before the fence.
    while let Some(request) = mailbox.recv().await {
        let message = request.message().clone();
        arrived.push(message.msg.parse::<usize>().unwrap());
        let _ = request.respond(message);
    }
    drop(mailbox);
    begin(50).await;
    server.wait_for(ServerState::Serving).await;
    delay_claim(&world);
    let mut opening = Box::pin(server.mailbox::<Request<EchoMsg>>("a", 2_000));
    assert!(poll!(&mut opening).is_pending());
    begin(500).await;
    let mut mailbox = opening.await.unwrap();
    let again = arrived.len();
    begin(50).await;
    while !mailbox.is_empty() {
        arrived.push(next(&mut mailbox).await);
    }
    assert_eq!(arrived.len() - again, 550);
    assert!(arrived.is_sorted(), "{arrived:?}");
}
