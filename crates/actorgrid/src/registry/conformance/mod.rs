//! What every registry of this crate does alike: one function a rule, over any [`Fixture`].

mod claims;
mod leases;
mod watches;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;

use super::{
    Backend, Change, Claim, ClaimBatch, ClaimOutcome, Entry, Guard, LeaseId, RaiseOutcome,
    Registry, RegistryErrorKind, Selector, WatchStream,
};
use crate::revision::Revision;

pub(crate) use claims::*;
pub(crate) use leases::*;
pub(crate) use watches::*;

/// A registry under test. Nobody else uses the service while a rule runs, but keys of earlier
/// rules may still be there.
pub(crate) trait Fixture: Sized {
    fn start() -> impl Future<Output = Self>;

    fn registry(&self) -> &Registry;

    /// What all keys of this fixture begin with, and no others.
    fn prefix(&self) -> &str;

    /// Lets the service forget the changes up to its present revision.
    fn compact(&self) -> impl Future<Output = ()>;

    /// Lets so much time pass for the service.
    fn pass(&self, time: Duration) -> impl Future<Output = ()>;
}

/// One test for each rule: `conformance_suite!(Fixture, tokio::test(start_paused = true));`.
macro_rules! conformance_suite {
    ($fixture:ty, $test:meta) => {
        $crate::registry::conformance::conformance_suite! { $fixture, $test;
            a_lease_is_granted_renewed_and_revoked
            a_renewed_lease_keeps_its_keys
            a_lease_that_runs_out_takes_its_keys
            a_revoked_lease_takes_its_keys_and_no_others
            nothing_is_put_under_a_lease_that_is_gone
            a_claim_puts_its_keys_together
            a_refused_claim_puts_nothing_and_tells_what_is_there
            a_claim_is_won_while_the_epoch_stands
            a_claim_is_refused_when_the_epoch_was_raised
            a_claim_is_refused_when_the_epoch_is_gone
            a_claim_is_refused_when_the_epoch_is_of_another_session
            claims_of_a_batch_stand_for_themselves
            a_batch_with_a_key_twice_puts_nothing
            tokens_grow_from_holder_to_holder
            a_raise_moves_the_modification_and_not_the_creation
            a_raise_is_refused_for_another_creation
            a_release_compares_the_creation
            a_get_answers_in_the_order_of_its_keys
            a_list_is_sorted_and_keeps_to_its_prefix
            a_read_is_of_one_key_and_a_watch_goes_on_from_it
            a_watch_from_the_past_gives_every_revision_whole_and_in_order
            a_watch_goes_on_with_what_comes
            a_watch_selects_a_key_or_a_prefix
            a_watch_from_a_compacted_revision_says_so
            a_watch_from_a_revision_that_has_not_come_says_so
            a_watch_survives_quiet_time
        }
    };
    ($fixture:ty, $test:meta; $($rule:ident)*) => {
        $(
            #[$test]
            async fn $rule() {
                let fixture = <$fixture as $crate::registry::conformance::Fixture>::start().await;
                $crate::registry::conformance::$rule(&fixture).await;
            }
        )*
    };
}
pub(crate) use conformance_suite;

/// The shortest time to live that a session may have.
const TTL: Duration = Duration::from_secs(5);
/// What a change may take to reach a watch, the end of a lease in etcd included.
const PATIENCE: Duration = Duration::from_secs(30);

fn backend(fixture: &impl Fixture) -> &dyn Backend {
    fixture.registry().backend()
}

fn key(fixture: &impl Fixture, name: &str) -> String {
    format!("{}{name}", fixture.prefix())
}

fn value(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn grant(fixture: &impl Fixture) -> LeaseId {
    backend(fixture).grant(TTL).await.unwrap().id
}

/// A claim of these keys, each with its name as its value.
fn claim_of(fixture: &impl Fixture, names: &[&'static str]) -> Claim {
    let puts = names.iter().map(|name| (key(fixture, name), value(name)));
    Claim {
        puts: puts.collect(),
    }
}

fn batch(
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
async fn claim(fixture: &impl Fixture, lease: LeaseId, names: &[&'static str]) -> ClaimOutcome {
    let batch = batch(fixture, lease, None, &[names]);
    let mut outcomes = backend(fixture).claim(&batch).await.unwrap();
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

/// Claims these keys, which are free, and answers the revision.
async fn put(fixture: &impl Fixture, lease: LeaseId, names: &[&'static str]) -> Revision {
    match claim(fixture, lease, names).await {
        ClaimOutcome::Won { revision } => revision,
        ClaimOutcome::Refused { found, .. } => panic!("{names:?} are not free: {found:?}"),
    }
}

async fn get(fixture: &impl Fixture, name: &str) -> Option<Entry> {
    let mut entries = backend(fixture).get(&[key(fixture, name)]).await.unwrap();
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

/// The revision before this one.
fn before(revision: Revision) -> Revision {
    Revision::new(revision.get() - 1)
}

async fn revision(fixture: &impl Fixture) -> Revision {
    let listing = backend(fixture).list(fixture.prefix()).await.unwrap();
    listing.revision
}

fn all(fixture: &impl Fixture) -> Selector {
    Selector::Prefix(fixture.prefix().to_owned())
}

async fn watch(fixture: &impl Fixture, selector: &Selector, from: Revision) -> WatchStream {
    backend(fixture).watch(selector, from).await.unwrap()
}

/// The next so many changes, of which no revision may be torn.
async fn changes(stream: &mut WatchStream, count: usize) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    while changes.len() < count {
        let next = tokio::time::timeout(PATIENCE, stream.next()).await;
        let next = next.expect("no change came").expect("the watch ended");
        let next = next.expect("the watch failed");
        let (first, last) = (next.first().unwrap(), changes.last());
        assert!(last.is_none_or(|last| last.revision() < first.revision()));
        assert!(next.is_sorted_by_key(Change::revision));
        changes.extend(next);
    }
    assert_eq!(changes.len(), count, "{changes:?}");
    changes
}

fn deleted(fixture: &impl Fixture, name: &str, revision: Revision) -> Change {
    Change::Deleted {
        key: key(fixture, name),
        revision,
    }
}

/// A key as it is right after its claim.
fn fresh(fixture: &impl Fixture, lease: LeaseId, name: &'static str, revision: Revision) -> Entry {
    Entry {
        key: key(fixture, name),
        value: value(name),
        created: revision,
        modified: revision,
        lease: Some(lease),
    }
}
