//! Peers that were killed, are frozen or have stopped, as their callers see them.

// clippy exempts test functions, not their helpers; a frozen peer lives outside the simulated
// world.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod world;

use std::time::Duration;

use actorgrid::{EchoMsg, Mailbox, Request, RequestErrorKind};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use world::{World, clock, eventually, on_both_registries, secs};

on_both_registries! {
    a_server_that_has_stopped_keeps_no_connection_open,
    nobody_at_a_registered_address_is_reported_at_once_where_that_is_asked_for,
}

type Inbox = Mailbox<Request<EchoMsg>>;

/// Answers requests until `done` completes.
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
    eventually("the connection is closed", || {
        other.statistics().connections_open == 0
    })
    .await;
    let error = client.request("a", EchoMsg::new("hi")).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::ClientClosed);
    // A handle also outlives a server that is dropped.
    let dropped = world.server().bind("127.0.0.1:0").await.unwrap();
    let handle = dropped.handle();
    let request = handle.client().request("a", EchoMsg::new("hi")).send();
    serving(&mut mailbox, request).await.unwrap();
    drop(dropped);
    eventually("the connection is closed", || {
        other.statistics().connections_open == 0
    })
    .await;
}

async fn nobody_at_a_registered_address_is_reported_at_once_where_that_is_asked_for(world: World) {
    let killed = world.server().bind("127.0.0.1:0").await.unwrap();
    let mut mailbox: Inbox = killed.mailbox("a", 10).await.unwrap();
    let (client, knows) = (world.client(), world.client());
    let hi = || EchoMsg::new("hi");
    serving(&mut mailbox, knows.request("a", hi()).send())
        .await
        .unwrap();
    // As if the peer were killed: nothing is withdrawn.
    drop(killed);
    for client in [&client, &knows] {
        let begun = clock();
        let error = client.request("a", hi()).fail_fast().await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::Unreachable, "{error:?}");
        assert!(!error.may_have_executed());
        let bound = world.bound(Duration::from_millis(100));
        assert!(begun.elapsed() < bound, "{:?}", begun.elapsed());
        // Without `fail_fast`, the request waits for another holder.
        let begun = clock();
        let waits = client.request("a", hi()).deadline(secs(2)).await;
        assert!(!waits.unwrap_err().may_have_executed());
        assert!(begun.elapsed() > secs(1), "{:?}", begun.elapsed());
    }
    world.expire_leases();
    drop(mailbox);
    let next = world.server().bind("127.0.0.1:0").await.unwrap();
    let mut mailbox: Inbox = next.mailbox("a", 10).await.unwrap();
    let request = client.request("a", hi()).fail_fast().send();
    serving(&mut mailbox, request).await.unwrap();
    // This client still knows the previous holder, and follows the name.
    drop(next);
    drop(mailbox);
    world.expire_leases();
    let last = world.server().bind("127.0.0.1:0").await.unwrap();
    let mut mailbox: Inbox = last.mailbox("a", 10).await.unwrap();
    let request = client.request("a", hi()).fail_fast().send();
    serving(&mut mailbox, request).await.unwrap();
}

/// Registers a mailbox at one of our peers that hangs: it accepts connections, sends an empty
/// SETTINGS frame if it `greets`, and does nothing more.
async fn frozen_holder(world: &World, name: &str, greets: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            if greets {
                // An empty HTTP/2 SETTINGS frame.
                socket
                    .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
                    .await
                    .unwrap();
            }
            kept.push(socket);
        }
    });
    let key = format!("test.mailbox.{name}");
    let nonce = "000000000000000a";
    let value = format!(
        r#"{{"key":"{key}","address":"127.0.0.1:{port}","registry":"127-0-0-1-{port}","nonce":"{nonce}"}}"#
    );
    world.overwrite(&key, value.leak());
    key
}

#[tokio::test]
async fn a_frozen_peer_is_noticed_and_later_requests_ask_who_holds_the_name_now() {
    let world = World::on_real_memory();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let client = world.client();
    for greets in [true, false] {
        let name = if greets { "greets" } else { "silent" };
        let key = frozen_holder(&world, name, greets).await;
        let hi = || client.request(name, EchoMsg::new("hi"));
        let begun = clock();
        if greets {
            let error = hi().await.unwrap_err();
            assert_eq!(error.kind(), RequestErrorKind::ConnectionLost);
            assert!(error.may_have_executed());
            // The bound is 2.5 s; the rest is slack for a machine under load.
            assert!(begun.elapsed() < secs(5), "{:?}", begun.elapsed());
        } else {
            let request = hi().deadline(Duration::from_millis(300));
            let error = request.await.unwrap_err();
            assert_eq!(error.kind(), RequestErrorKind::DeadlineExceeded);
            assert!(!error.may_have_executed());
        }
        // Its lease expires, and another peer takes the name.
        assert!(world.delete(&key));
        let mut mailbox: Inbox = server.mailbox(name, 10).await.unwrap();
        let request = hi().deadline(secs(1)).send();
        serving(&mut mailbox, request).await.unwrap();
    }
}
