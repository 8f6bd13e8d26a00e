//! The rules for leases.

use std::time::Duration;

use super::fixture::*;
use crate::registry::RegistryErrorKind;

pub(crate) async fn a_lease_is_granted_renewed_and_revoked(fixture: &impl Fixture) {
    let backend = backend(fixture);
    let lease = backend.grant(TTL).await.unwrap();
    assert!(lease.ttl >= TTL);
    assert_ne!(backend.grant(TTL).await.unwrap().id, lease.id);
    fixture.pass(Duration::from_secs(2)).await;
    let left = backend.remaining(lease.id).await.unwrap().unwrap();
    assert!(left < lease.ttl, "{left:?} of {:?}", lease.ttl);
    assert_eq!(backend.renew(lease.id).await.unwrap(), lease.ttl);
    let renewed = backend.remaining(lease.id).await.unwrap().unwrap();
    assert!(renewed > left && renewed <= lease.ttl, "{renewed:?}");
    backend.revoke(lease.id).await.unwrap();
    assert_eq!(backend.remaining(lease.id).await.unwrap(), None);
    let error = backend.renew(lease.id).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::LeaseNotFound);
    backend.revoke(lease.id).await.unwrap();
}

pub(crate) async fn a_renewed_lease_keeps_its_keys(fixture: &impl Fixture) {
    let lease = backend(fixture).grant(TTL).await.unwrap();
    let revision = put(fixture, lease.id, &["a"]).await;
    for _ in 0..3 {
        fixture.pass(lease.ttl / 2).await;
        backend(fixture).renew(lease.id).await.unwrap();
    }
    let entry = get(fixture, "a").await.unwrap();
    assert_eq!(entry, fresh(fixture, lease.id, "a", revision));
}

pub(crate) async fn a_lease_that_runs_out_takes_its_keys(fixture: &impl Fixture) {
    let (lease, kept) = (grant(fixture).await, grant(fixture).await);
    let other = put(fixture, kept, &["c"]).await;
    let revision = put(fixture, lease, &["a", "b"]).await;
    backend(fixture).revoke(kept).await.unwrap();
    // No requests are made meanwhile: the end of a lease reaches the watches on its own.
    let mut stream = watch(fixture, &all(fixture), revision.next()).await;
    let gone = changes(&mut stream, 3).await;
    assert_eq!(gone[0], deleted(fixture, "c", gone[0].revision()));
    assert!(gone[0].revision() > other);
    let at = gone[1].revision();
    let both = [deleted(fixture, "a", at), deleted(fixture, "b", at)];
    assert_eq!(gone[1..], both);
    assert_eq!(get(fixture, "a").await, None);
    assert_eq!(backend(fixture).remaining(lease).await.unwrap(), None);
    let error = backend(fixture).renew(lease).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::LeaseNotFound);
}

pub(crate) async fn a_revoked_lease_takes_its_keys_and_no_others(fixture: &impl Fixture) {
    let (lease, other) = (grant(fixture).await, grant(fixture).await);
    let before = put(fixture, lease, &["a"]).await;
    put(fixture, lease, &["c"]).await;
    let kept = put(fixture, other, &["b"]).await;
    let mut stream = watch(fixture, &all(fixture), kept.next()).await;
    backend(fixture).revoke(lease).await.unwrap();
    let gone = changes(&mut stream, 2).await;
    let at = gone[0].revision();
    assert!(at > kept && kept > before);
    assert_eq!(gone, [deleted(fixture, "a", at), deleted(fixture, "c", at)]);
    let listing = backend(fixture).list(fixture.prefix()).await.unwrap();
    assert_eq!(listing.entries, [fresh(fixture, other, "b", kept)]);
    assert_eq!(listing.revision, at);
}

pub(crate) async fn nothing_is_put_under_a_lease_that_is_gone(fixture: &impl Fixture) {
    let (gone, lease) = (grant(fixture).await, grant(fixture).await);
    backend(fixture).revoke(gone).await.unwrap();
    let created = put(fixture, lease, &["epoch", "taken"]).await;
    let batch = batch(fixture, gone, None, &[&["a"], &["taken"], &["b"]]);
    let error = backend(fixture).claim(&batch).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::LeaseNotFound);
    let epoch = key(fixture, "epoch");
    let error = backend(fixture)
        .raise(&epoch, created, gone, value("raised"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::LeaseNotFound);
    let listing = backend(fixture).list(fixture.prefix()).await.unwrap();
    let kept = ["epoch", "taken"].map(|name| fresh(fixture, lease, name, created));
    assert_eq!(listing.entries, kept);
    assert_eq!(listing.revision, created);
}
