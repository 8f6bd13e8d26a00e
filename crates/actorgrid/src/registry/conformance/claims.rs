//! The rules for claims, raises, releases and reads.

use super::fixture::*;
use crate::registry::{ClaimOutcome, Entry, Guard, LeaseId, RaiseOutcome, RegistryErrorKind};
use crate::revision::Revision;
use crate::token::Token;

pub(crate) async fn a_claim_puts_its_keys_together(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let before = revision(fixture).await;
    let at = put(fixture, lease, &["a", "b"]).await;
    assert!(at > before);
    let listing = backend(fixture).list(fixture.prefix()).await.unwrap();
    let both = ["a", "b"].map(|name| fresh(fixture, lease, name, at));
    assert_eq!(listing.entries, both);
    assert_eq!(listing.revision, at);
}

pub(crate) async fn a_refused_claim_puts_nothing_and_returns_what_is_there(fixture: &impl Fixture) {
    let (holder, late) = (grant(fixture).await, grant(fixture).await);
    let at = put(fixture, holder, &["b"]).await;
    let outcome = claim(fixture, late, &["a", "b", "c"]).await;
    let refused = ClaimOutcome::Refused {
        found: vec![None, Some(fresh(fixture, holder, "b", at)), None],
        epoch: None,
    };
    assert_eq!(outcome, refused);
    assert_eq!(revision(fixture).await, at);
    assert_eq!(get(fixture, "a").await, None);
}

fn guard(fixture: &impl Fixture, modified: Revision) -> Option<Guard> {
    Some(Guard {
        epoch: key(fixture, "epoch"),
        modified,
    })
}

/// Makes claims under the guard, and expects them to be refused because of the epoch key's entry.
async fn refused_for(
    fixture: &impl Fixture,
    lease: LeaseId,
    modified: Revision,
    epoch: Option<Entry>,
) {
    let before = revision(fixture).await;
    let batch = batch(fixture, lease, guard(fixture, modified), &[&["a"], &["b"]]);
    let outcomes = backend(fixture).claim(&batch).await.unwrap();
    let refused = ClaimOutcome::Refused {
        found: vec![None],
        epoch,
    };
    assert_eq!(outcomes, [refused.clone(), refused]);
    assert_eq!(revision(fixture).await, before);
}

async fn raise(fixture: &impl Fixture, lease: LeaseId, created: Revision) -> Revision {
    let epoch = key(fixture, "epoch");
    let raised = backend(fixture).raise(&epoch, created, lease, value("raised"));
    match raised.await.unwrap() {
        RaiseOutcome::Raised(revision) => revision,
        other => panic!("not raised: {other:?}"),
    }
}

pub(crate) async fn a_claim_is_won_while_the_epoch_is_unchanged(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let created = put(fixture, lease, &["epoch"]).await;
    let mut modified = created;
    for name in ["a", "b", "c"] {
        let batch = batch(fixture, lease, guard(fixture, modified), &[&[name]]);
        let outcomes = backend(fixture).claim(&batch).await.unwrap();
        let revision = revision(fixture).await;
        assert_eq!(outcomes, [ClaimOutcome::Won { revision }]);
        let entry = get(fixture, name).await;
        assert_eq!(entry, Some(fresh(fixture, lease, name, revision)));
        modified = raise(fixture, lease, created).await;
    }
}

pub(crate) async fn a_claim_is_refused_when_the_epoch_was_raised(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let created = put(fixture, lease, &["epoch"]).await;
    let raised = raise(fixture, lease, created).await;
    let epoch = Entry {
        value: value("raised"),
        modified: raised,
        ..fresh(fixture, lease, "epoch", created)
    };
    refused_for(fixture, lease, created, Some(epoch)).await;
}

pub(crate) async fn a_claim_is_refused_when_the_epoch_is_gone(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let created = put(fixture, lease, &["epoch"]).await;
    let epoch = key(fixture, "epoch");
    assert!(backend(fixture).release(&epoch, created).await.unwrap());
    refused_for(fixture, lease, created, None).await;
}

pub(crate) async fn a_claim_is_refused_when_the_epoch_is_of_another_session(
    fixture: &impl Fixture,
) {
    let (first, second, lease) = (
        grant(fixture).await,
        grant(fixture).await,
        grant(fixture).await,
    );
    let created = put(fixture, first, &["epoch"]).await;
    backend(fixture).revoke(first).await.unwrap();
    let later = put(fixture, second, &["epoch"]).await;
    let epoch = fresh(fixture, second, "epoch", later);
    refused_for(fixture, lease, created, Some(epoch)).await;
}

pub(crate) async fn claims_of_a_batch_are_decided_apart(fixture: &impl Fixture) {
    let (holder, lease) = (grant(fixture).await, grant(fixture).await);
    let taken = put(fixture, holder, &["taken"]).await;
    let created = put(fixture, lease, &["epoch"]).await;
    let claims: [&[_]; 3] = [&["a", "b"], &["c", "taken"], &["d"]];
    let batch = batch(fixture, lease, guard(fixture, created), &claims);
    let outcomes = backend(fixture).claim(&batch).await.unwrap();
    let at = revision(fixture).await;
    assert!(at > created);
    let won = ClaimOutcome::Won { revision: at };
    let refused = ClaimOutcome::Refused {
        found: vec![None, Some(fresh(fixture, holder, "taken", taken))],
        epoch: Some(fresh(fixture, lease, "epoch", created)),
    };
    assert_eq!(outcomes, [won.clone(), refused, won]);
    for name in ["a", "b", "d"] {
        let entry = get(fixture, name).await;
        assert_eq!(entry, Some(fresh(fixture, lease, name, at)));
    }
    assert_eq!(get(fixture, "c").await, None);
}

pub(crate) async fn a_batch_with_a_key_twice_puts_nothing(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let before = revision(fixture).await;
    let batch = batch(fixture, lease, None, &[&["a"], &["b", "a"]]);
    let error = backend(fixture).claim(&batch).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Unavailable);
    assert_eq!(revision(fixture).await, before);
}

pub(crate) async fn tokens_grow_from_holder_to_holder(fixture: &impl Fixture) {
    let cluster = backend(fixture).cluster();
    assert_eq!(backend(fixture).cluster(), cluster);
    let mut last = Token::new(cluster, Revision::ZERO);
    for turn in 0..6 {
        let lease = grant(fixture).await;
        let at = put(fixture, lease, &["name"]).await;
        let token = Token::new(cluster, at);
        assert!(token > last, "{token} after {last}");
        last = token;
        if turn % 2 == 0 {
            backend(fixture).revoke(lease).await.unwrap();
        } else {
            let name = key(fixture, "name");
            let released = backend(fixture).release(&name, at).await;
            assert!(released.unwrap());
        }
    }
}

pub(crate) async fn a_raise_moves_the_modification_and_not_the_creation(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let created = put(fixture, lease, &["epoch"]).await;
    let first = raise(fixture, lease, created).await;
    let second = raise(fixture, lease, created).await;
    assert!(created < first && first < second);
    let raised = Entry {
        value: value("raised"),
        modified: second,
        ..fresh(fixture, lease, "epoch", created)
    };
    assert_eq!(get(fixture, "epoch").await, Some(raised));
    // The key still belongs to the lease.
    backend(fixture).revoke(lease).await.unwrap();
    assert_eq!(get(fixture, "epoch").await, None);
}

pub(crate) async fn a_raise_is_refused_for_another_creation(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let epoch = key(fixture, "epoch");
    let raise = |created| backend(fixture).raise(&epoch, created, lease, value("raised"));
    assert_eq!(
        raise(Revision::new(7)).await,
        Ok(RaiseOutcome::Refused(None))
    );
    let created = put(fixture, lease, &["epoch"]).await;
    let entry = Some(fresh(fixture, lease, "epoch", created));
    let refused = RaiseOutcome::Refused(entry.clone());
    assert_eq!(raise(before(created)).await, Ok(refused));
    assert_eq!(get(fixture, "epoch").await, entry);
}

pub(crate) async fn a_release_compares_the_creation(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let created = put(fixture, lease, &["epoch"]).await;
    let name = key(fixture, "epoch");
    let release = |created| backend(fixture).release(&name, created);
    assert!(!release(before(created)).await.unwrap());
    let modified = raise(fixture, lease, created).await;
    assert!(!release(modified).await.unwrap());
    assert!(get(fixture, "epoch").await.is_some());
    assert!(release(created).await.unwrap());
    assert_eq!(get(fixture, "epoch").await, None);
    assert!(!release(created).await.unwrap());
}

pub(crate) async fn a_get_answers_in_the_order_of_its_keys(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let a = put(fixture, lease, &["a"]).await;
    let b = put(fixture, lease, &["b"]).await;
    let keys = ["b", "none", "a"].map(|name| key(fixture, name));
    let found = backend(fixture).get(&keys).await.unwrap();
    let (a, b) = (fresh(fixture, lease, "a", a), fresh(fixture, lease, "b", b));
    assert_eq!(found, [Some(b), None, Some(a)]);
    // With a single member there is no lag, so a peek finds the same.
    assert_eq!(backend(fixture).peek(&keys).await.unwrap(), found);
    assert_eq!(backend(fixture).get(&[]).await.unwrap(), []);
    assert_eq!(backend(fixture).peek(&[]).await.unwrap(), []);
}

pub(crate) async fn a_list_is_sorted_and_keeps_to_its_prefix(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let inside = ["g.z", "g.", "g.a.b", "g.a"];
    put(fixture, lease, &["g", "g-a", "g/a", "h.a"]).await;
    let at = put(fixture, lease, &inside).await;
    let after = put(fixture, lease, &["f"]).await;
    let listing = backend(fixture).list(&key(fixture, "g.")).await.unwrap();
    let sorted = ["g.", "g.a", "g.a.b", "g.z"].map(|name| fresh(fixture, lease, name, at));
    assert_eq!(listing.entries, sorted);
    assert_eq!(listing.revision, after);
    let none = backend(fixture).list(&key(fixture, "i.")).await.unwrap();
    assert_eq!((none.entries, none.revision), (vec![], after));
}
