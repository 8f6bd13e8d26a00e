//! A registry whose storage is full: operations that need space fail in time and with a typed
//! error.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::error::Error as _;
use std::time::Duration;

use actorgrid::{
    EchoMsg, MailboxError, MailboxErrorKind, MemoryFault, MemoryOperation, RegistryError,
    RegistryErrorKind, Request, RequestErrorKind, Server,
};
use world::{MemoryWorld, pass, secs};

const MOMENT: Duration = Duration::from_millis(50);

async fn open(server: &Server, name: &str) -> Result<(), MailboxError> {
    let opened = tokio::time::timeout(secs(1), server.mailbox::<Request<EchoMsg>>(name, 1)).await;
    opened.unwrap().map(drop)
}

#[track_caller]
fn assert_no_space(opened: Result<(), MailboxError>) {
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), MailboxErrorKind::Registry, "{error}");
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    let kind = cause.map(RegistryError::kind);
    assert_eq!(kind, Some(RegistryErrorKind::NoSpace), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_claim_in_doubt_ends_and_holds_up_no_other() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    // Its request may still arrive, and the epoch cannot be raised.
    let late = MemoryFault::ArriveLate(secs(4));
    world.registry.inject(MemoryOperation::Claim, late);
    world.registry.set_full(true);
    let ask = server.client().request("doubtful", EchoMsg::new("waits"));
    let (opened, asked) = tokio::join!(open(&server, "doubtful"), ask.once());
    assert_no_space(opened);
    // The request that waited for the claim is answered, and was not executed.
    let error = asked.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::NotHeld, "{error:?}");
    assert!(!error.may_have_executed());
    assert_no_space(open(&server, "other").await);
    // Its name is not free, and the claim does not wait until it is.
    let error = open(&server, "doubtful").await.unwrap_err();
    assert_eq!(error.kind(), MailboxErrorKind::Taken);

    world.registry.set_full(false);
    pass(secs(2)).await;
    open(&server, "other").await.unwrap();
    open(&server, "doubtful").await.unwrap();
    pass(secs(4)).await;
    for name in ["doubtful", "other"] {
        world.until_free(name).await;
    }
    server.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_found_is_won() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    world
        .registry
        .inject(MemoryOperation::Claim, MemoryFault::FailReply);
    world
        .registry
        .inject(MemoryOperation::Raise, MemoryFault::Refuse);
    let (opened, ()) = tokio::join!(open(&server, "found"), async {
        pass(MOMENT).await;
        world.registry.set_full(true);
    });
    opened.unwrap();
    world.until_free("found").await;
    server.shutdown().await.unwrap();
}

#[cfg(feature = "etcd")]
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_in_doubt_ends_on_etcd_too() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, Ordering};

    use actorgrid::Registry;
    use testbed::{Etcd, EtcdProxy, Fate, PartKind};

    let etcd = Etcd::start_with(["--quota-backend-bytes=1000000"]);
    let proxy = EtcdProxy::of(etcd.address());
    let registry = Registry::connect(&proxy.url()).await.unwrap();
    let server = Server::builder("test", registry);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let value = "v".repeat(100_000);
    let put = || catch_unwind(AssertUnwindSafe(|| etcd.ctl(["put", "filler", &value])));
    while put().is_ok() {}
    // The claim does not arrive; as far as anybody can know, it still may.
    let claimed = AtomicBool::new(false);
    proxy.set_rule(move |part| {
        let names_it = part.kind == PartKind::Request && part.contains("test.mailbox.doubtful");
        match names_it && !claimed.swap(true, Ordering::Relaxed) {
            true => Fate::Swallow,
            false => Fate::Pass,
        }
    });
    let open = async |name: &str| {
        let opened = server.mailbox::<Request<EchoMsg>>(name, 1);
        let opened = tokio::time::timeout(secs(15), opened).await;
        opened.unwrap().map(drop)
    };
    assert_no_space(open("doubtful").await);
    assert_no_space(open("other").await);
    assert_eq!(server.state(), actorgrid::ServerState::Serving);

    proxy.pass_all();
    let status = etcd.ctl(["get", "filler", "--write-out=json"]);
    let revision = status.split("\"revision\":").nth(1).unwrap();
    let revision = revision.split([',', '}']).next().unwrap();
    etcd.ctl(["compact", revision, "--physical"]);
    etcd.ctl(["defrag"]);
    etcd.ctl(["alarm", "disarm"]);
    // Until the epoch is raised, claims are rejected as before.
    pass(secs(4)).await;
    open("other").await.unwrap();
    open("doubtful").await.unwrap();
    server.shutdown().await.unwrap();
}
