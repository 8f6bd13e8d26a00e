//! The registry under test, and the steps that the rules are written in.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;

use crate::registry::{
    Backend, Change, Claim, ClaimBatch, ClaimOutcome, Entry, Guard, LeaseId, Registry, Selector,
    WatchStream, WatchUpdate,
};
use crate::revision::Revision;

/// A registry under test. Nothing else uses the service while a rule runs, but keys of earlier
/// rules may still exist.
pub(crate) trait Fixture: Sized {
    fn start() -> impl Future<Output = Self>;

    fn registry(&self) -> &Registry;

    /// Returns the prefix of exactly the keys of this fixture.
    fn prefix(&self) -> &str;

    /// Makes the service forget the changes up to its current revision.
    fn compact(&self) -> impl Future<Output = ()>;

    /// Lets this much time pass for the service.
    fn pass(&self, time: Duration) -> impl Future<Output = ()>;
}

/// The shortest time to live that a session may have.
pub(super) const TTL: Duration = Duration::from_secs(5);
/// The maximum time for a change to reach a watch, including the end of a lease in etcd.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn backend(fixture: &impl Fixture) -> &dyn Backend {
    fixture.registry().backend()
}

pub(super) fn key(fixture: &impl Fixture, name: &str) -> String {
    format!("{}{name}", fixture.prefix())
}

pub(super) fn value(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

pub(super) async fn grant(fixture: &impl Fixture) -> LeaseId {
    backend(fixture).grant(TTL).await.unwrap().id
}

/// Creates a claim of these keys, each with its name as its value.
pub(super) fn claim_of(fixture: &impl Fixture, names: &[&'static str]) -> Claim {
    let puts = names.iter().map(|name| (key(fixture, name), value(name)));
    Claim {
        puts: puts.collect(),
    }
}

pub(super) fn batch(
    fixture: &impl Fixture,
    lease: LeaseId,
    guard: Option<Guard>,
    claims: &[&[&'static str]],
) -> ClaimBatch {
    let claims = claims.iter().map(|names| claim_of(fixture, names));
    ClaimBatch {
        lease,
        guard,
        claims: claims.collect(),
    }
}

/// Makes one claim of these keys without a guard.
pub(super) async fn claim(
    fixture: &impl Fixture,
    lease: LeaseId,
    names: &[&'static str],
) -> ClaimOutcome {
    let batch = batch(fixture, lease, None, &[names]);
    let mut outcomes = backend(fixture).claim(&batch).await.unwrap();
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

/// Claims these keys, which are free, and returns the revision.
pub(super) async fn put(
    fixture: &impl Fixture,
    lease: LeaseId,
    names: &[&'static str],
) -> Revision {
    match claim(fixture, lease, names).await {
        ClaimOutcome::Won { revision } => revision,
        ClaimOutcome::Refused { found, .. } => panic!("{names:?} are not free: {found:?}"),
    }
}

pub(super) async fn get(fixture: &impl Fixture, name: &str) -> Option<Entry> {
    let mut entries = backend(fixture).get(&[key(fixture, name)]).await.unwrap();
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

/// Returns the revision before this one.
pub(super) fn before(revision: Revision) -> Revision {
    Revision::new(revision.get() - 1)
}

pub(super) async fn revision(fixture: &impl Fixture) -> Revision {
    let listing = backend(fixture).list(fixture.prefix()).await.unwrap();
    listing.revision
}

pub(super) fn all(fixture: &impl Fixture) -> Selector {
    Selector::Prefix(fixture.prefix().to_owned())
}

pub(super) async fn watch(
    fixture: &impl Fixture,
    selector: &Selector,
    from: Revision,
) -> WatchStream {
    backend(fixture).watch(selector, from).await.unwrap()
}

/// Returns the next `count` changes. Asserts that no revision is split between two updates, or
/// arrives after an update that reported it as complete.
pub(super) async fn changes(stream: &mut WatchStream, count: usize) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let mut complete = None;
    while changes.len() < count {
        let next = tokio::time::timeout(PATIENCE, stream.next()).await;
        let next = next.expect("no change arrived").expect("the watch ended");
        let next = match next.expect("the watch failed") {
            WatchUpdate::Changes(next) => next,
            WatchUpdate::CompleteTo(revision) => {
                complete = complete.max(Some(revision));
                continue;
            }
        };
        let first = next.first().unwrap().revision();
        assert!(changes.last().is_none_or(|last| last.revision() < first));
        assert!(complete.is_none_or(|complete| complete < first));
        assert!(next.is_sorted_by_key(Change::revision));
        changes.extend(next);
    }
    assert_eq!(changes.len(), count, "{changes:?}");
    changes
}

pub(super) fn deleted(fixture: &impl Fixture, name: &str, revision: Revision) -> Change {
    Change::Deleted {
        key: key(fixture, name),
        revision,
    }
}

/// Returns the entry of a key right after its claim.
pub(super) fn fresh(
    fixture: &impl Fixture,
    lease: LeaseId,
    name: &'static str,
    revision: Revision,
) -> Entry {
    Entry {
        key: key(fixture, name),
        value: value(name),
        created: revision,
        modified: revision,
        lease: Some(lease),
    }
}
