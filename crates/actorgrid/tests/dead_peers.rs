//! Peers that were killed, are frozen or have stopped, as those see it who call them.

#![allow(clippy::unwrap_used)] // what stands beside the test functions, too

mod world;

use actorgrid::{EchoMsg, Mailbox, Request, RequestErrorKind};
use world::{World, eventually, on_both_registries};

on_both_registries! {
    a_server_that_has_stopped_keeps_no_connection_open,
}

type Inbox = Mailbox<Request<EchoMsg>>;

/// Answers requests until something else is done.
async fn serving<F: Future>(mailbox: &mut Inbox, done: F) -> F::Output {
    let serve = async {
        while let Some(request) = mailbox.recv().await {
            let message = request.message().clone();
            request.respond(message).unwrap();
        }
    };
    tokio::select! {
        biased;
        output = done => output,
        () = serve => panic!("the mailbox has ended"),
    }
}

async fn a_server_that_has_stopped_keeps_no_connection_open(world: World) {
    let stopped = world.server().bind("127.0.0.1:0").await.unwrap();
    let other = world.server().bind("127.0.0.1:0").await.unwrap();
    let mut mailbox: Inbox = other.mailbox("a", 10).await.unwrap();
    let client = stopped.client();
    let request = client.request("a", EchoMsg::new("hi")).send();
    serving(&mut mailbox, request).await.unwrap();
    assert_eq!(other.statistics().connections_open, 1);
    stopped.shutdown().await.unwrap();
    eventually("its connection is closed", || {
        other.statistics().connections_open == 0
    })
    .await;
    let error = client.request("a", EchoMsg::new("hi")).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::ClientClosed);
    // A handle outlives a server that is dropped, too.
    let dropped = world.server().bind("127.0.0.1:0").await.unwrap();
    let handle = dropped.handle();
    let request = handle.client().request("a", EchoMsg::new("hi")).send();
    serving(&mut mailbox, request).await.unwrap();
    drop(dropped);
    eventually("its connection is closed", || {
        other.statistics().connections_open == 0
    })
    .await;
}
