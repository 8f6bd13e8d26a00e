//! An address has one owner, whichever library its peer uses. The second peer listens on another
//! port and advertises the address of the first.

use actorgrid::Kind as Registered;
use interop::{Bed, Kind};

/// Returns the token of the peer that is registered under this name.
async fn registered(bed: &Bed, peer: &str) -> actorgrid::Token {
    let peers = bed.rust.query(Registered::Peer).await.unwrap();
    let peer = peers.into_iter().find(|one| one.name.as_str() == peer);
    peer.unwrap().token
}

pub(crate) async fn rust_does_not_take_the_address_of_a_go_peer(bed: &Bed) {
    let first = bed.serving(Kind::Go, "go-owner", &[]).await;
    let token = registered(bed, &first.id).await;
    let second = bed.peer(
        Kind::Rust,
        "rust-second",
        &["--advertise", &first.address()],
    );
    let failed = second.wait_for("FAILED").await;
    let holds = format!("the address {} is held by another peer", first.address());
    assert!(failed.text.contains(&holds), "{}", failed.text);
    assert!(!second.ended().await.success());
    assert_eq!(registered(bed, &first.id).await, token);

    // A stop frees the address at once.
    let address = first.address();
    assert!(first.stop().await.success());
    let third = bed
        .serving(Kind::Rust, "rust-third", &["--advertise", &address])
        .await;
    assert_eq!(third.address(), address);
}

pub(crate) async fn go_does_not_take_the_address_of_a_rust_peer(bed: &Bed) {
    let first = bed.serving(Kind::Rust, "rust-owner", &[]).await;
    let token = registered(bed, &first.id).await;
    let second = bed.peer(Kind::Go, "go-second", &["-claim", &first.address()]);
    let failed = second.wait_for("FAILED").await;
    // The second one if a read of the lock was under way at the end of its time.
    let texts = [
        "registry: address lock exists after timeout",
        "registry: failed get address lock: error: context deadline exceeded",
    ];
    let is_expected = texts.iter().any(|text| failed.text.ends_with(text));
    assert!(is_expected, "{}", failed.text);
    assert!(!second.ended().await.success());
    assert_eq!(registered(bed, &first.id).await, token);

    let (id, address) = (first.id.clone(), first.address());
    assert!(first.stop().await.success());
    // The peer cannot be reached at this address, as it listens elsewhere.
    let third = bed.peer(Kind::Go, "go-third", &["-claim", &address]);
    let started = third.wait_for("STARTED").await;
    assert_eq!(started.field("peer"), Some(id.as_str()));
}
