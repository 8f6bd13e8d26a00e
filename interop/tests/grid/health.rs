//! The gRPC health service of each library, as the other one sees it.

use actorgrid::{Health, RequestErrorKind};
use interop::{Bed, Command, Kind, Replies, secs};

async fn of_rust(bed: &Bed, op: &'static str, peer: &str) -> Replies {
    let command = Command {
        op,
        to: peer.to_owned(),
        timeout_ms: 30_000,
        ..Command::default()
    };
    bed.go.command(command).await
}

pub(crate) async fn go_sees_the_health_of_rust(bed: &Bed) {
    let mut rust = bed.serving(Kind::Rust, "rust-healthy", &[]).await;
    let peer = rust.id.clone();
    let mut waiting = of_rust(bed, "wait_until_serving", &peer).await;
    waiting.next().await.success();
    let mut check = of_rust(bed, "check", &peer).await;
    assert_eq!(check.next().await.success().text, "SERVING");
    let mut watch = of_rust(bed, "watch_health", &peer).await;
    assert_eq!(watch.next().await.success().text, "SERVING");

    // An actor that does not end keeps the peer draining.
    bed.go
        .start_actor(&peer, "h-lingering", "lingering")
        .await
        .success();
    rust.process.terminate();
    assert_eq!(watch.next().await.success().text, "NOT_SERVING");
    let mut check = of_rust(bed, "check", &peer).await;
    assert_eq!(check.next().await.success().text, "NOT_SERVING");
    rust.process.kill();
    assert_eq!(watch.next().await.event, "end");
}

pub(crate) async fn go_asks_rust_for_live_and_ready(bed: &Bed) {
    let mut rust = bed.serving(Kind::Rust, "rust-probed", &[]).await;
    let address = rust.address();
    let check = |service: &str| {
        bed.go.ask(Command {
            op: "check_service",
            address: address.clone(),
            name: service.to_owned(),
            ..Command::default()
        })
    };
    for service in ["", "ready", "live"] {
        assert_eq!(
            check(service).await.success().text,
            "SERVING",
            "{service:?}"
        );
    }
    let unknown = check("ready ").await;
    assert_eq!(unknown.failure(), (5, "unknown service"));

    // An actor that does not end keeps the peer draining: it is live, but not ready.
    bed.go
        .start_actor(&rust.id, "h-lingering-too", "lingering")
        .await
        .success();
    let mut watch = of_rust(bed, "watch_health", &rust.id).await;
    assert_eq!(watch.next().await.success().text, "SERVING");
    rust.process.terminate();
    assert_eq!(watch.next().await.success().text, "NOT_SERVING");
    for (service, status) in [
        ("", "NOT_SERVING"),
        ("ready", "NOT_SERVING"),
        ("live", "SERVING"),
    ] {
        assert_eq!(check(service).await.success().text, status, "{service:?}");
    }
    rust.process.kill();
}

pub(crate) async fn rust_sees_the_health_of_go(bed: &Bed) {
    let nobody = bed.rust.check_health("127-0-0-1-1").await.unwrap_err();
    assert_eq!(nobody.kind(), RequestErrorKind::UnknownName);
    let go = bed.serving(Kind::Go, "go-healthy", &[]).await;
    let peer = go.id.clone();
    bed.rust
        .wait_until_serving(peer.as_str(), secs(10))
        .await
        .unwrap();
    assert_eq!(
        bed.rust.check_health(peer.as_str()).await.unwrap(),
        Health::Serving
    );
    let mut watch = bed.rust.watch_health(peer.as_str()).unwrap();
    assert_eq!(watch.next().await, Some(Health::Serving));
    let (address, id) = (go.address(), go.id.clone());
    assert!(go.stop().await.success());
    // Its keys may disappear before or after its process ends.
    let gone = async {
        loop {
            match watch.next().await {
                Some(Health::Unregistered) => return,
                Some(Health::Unreachable | Health::Serving) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(secs(30), gone).await.unwrap();

    // A caller that waits for it sees it come back, and so does the watch.
    let waiting = bed.rust.wait_until_serving(id.as_str(), secs(30));
    let back = bed.peer(Kind::Go, "go-healthy-again", &["-address", &address]);
    let (waited, ready) = tokio::join!(waiting, back.ready());
    waited.unwrap();
    assert_eq!(ready, id);
    let serves = async { while watch.next().await != Some(Health::Serving) {} };
    tokio::time::timeout(secs(30), serves).await.unwrap();
}
