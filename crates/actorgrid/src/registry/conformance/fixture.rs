//! The registry under test, and the steps that rules are written in.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;

use crate::registry::{
    Backend, Change, Claim, ClaimBatch, ClaimOutcome, Entry, Guard, LeaseId, Registry, Selector,
    WatchStream, WatchUpdate,
};
use crate::revision::Revision;

/// A registry under test. Nobody else uses the service while a rule runs, but keys of earlier
/// rules may still be there.
pub(crate) trait Fixture: Sized {
    fn start() -> impl Future<Output = Self>;

    fn registry(&self) -> &Registry;

    /// The prefix of all keys of this fixture, and of no others.
    fn prefix(&self) -> &str;

    /// Lets the service forget the changes up to its present revision.
    fn compact(&self) -> impl Future<Output = ()>;

    /// Lets so much time pass for the service.
    fn pass(&self, time: Duration) -> impl Future<Output = ()>;
}

/// The shortest time to live that a session may have.
pub(super) const TTL: Duration = Duration::from_secs(5);
/// The longest that a change may take to reach a watch, the end of a lease in etcd included.
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

/// A claim of these keys, each with its name as its value.
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

/// One claim of these keys without a guard.
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

/// The revision before this one.
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

/// The next so many changes, of which no revision may be torn or come after a report that says it
/// has come.
pub(super) async fn changes(stream: &mut WatchStream, count: usize) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let mut complete = None;
    while changes.len() < count {
        let next = tokio::time::timeout(PATIENCE, stream.next()).await;
        let next = next.expect("no change came").expect("the watch ended");
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

/// A key as it is right after its claim.
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
