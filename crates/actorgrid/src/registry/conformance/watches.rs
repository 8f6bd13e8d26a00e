//! The rules for watches.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;

use super::fixture::*;
use crate::registry::{Change, Entry, RaiseOutcome, RegistryErrorKind, Selector, WatchUpdate};
use crate::revision::Revision;

pub(crate) async fn a_watch_from_the_past_gives_every_revision_whole_and_in_order(
    fixture: &impl Fixture,
) {
    let (lease, other) = (grant(fixture).await, grant(fixture).await);
    put(fixture, other, &["before"]).await;
    let from = put(fixture, lease, &["epoch", "b"]).await;
    let single = put(fixture, other, &["c"]).await;
    let epoch = key(fixture, "epoch");
    let raised = backend(fixture).raise(&epoch, from, lease, value("raised"));
    let Ok(RaiseOutcome::Raised(raised)) = raised.await else {
        panic!("the epoch was not raised");
    };
    let c = key(fixture, "c");
    assert!(backend(fixture).release(&c, single).await.unwrap());
    let released = revision(fixture).await;
    backend(fixture).revoke(lease).await.unwrap();
    let revoked = revision(fixture).await;
    let again = put(fixture, other, &["b"]).await;

    let mut stream = watch(fixture, &all(fixture), from).await;
    let expected = [
        Change::Put(fresh(fixture, lease, "epoch", from)),
        Change::Put(fresh(fixture, lease, "b", from)),
        Change::Put(fresh(fixture, other, "c", single)),
        Change::Put(Entry {
            value: value("raised"),
            modified: raised,
            ..fresh(fixture, lease, "epoch", from)
        }),
        deleted(fixture, "c", released),
        deleted(fixture, "b", revoked),
        deleted(fixture, "epoch", revoked),
        Change::Put(fresh(fixture, other, "b", again)),
    ];
    assert_eq!(changes(&mut stream, expected.len()).await, expected);
    // A watch from the middle yields the same.
    let mut stream = watch(fixture, &all(fixture), released).await;
    assert_eq!(changes(&mut stream, 4).await, expected[4..]);
}

pub(crate) async fn a_watch_reports_later_changes(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let first = put(fixture, lease, &["a"]).await;
    let mut stream = watch(fixture, &all(fixture), first).await;
    let mut second_stream = watch(fixture, &all(fixture), first.next()).await;
    let put_a = Change::Put(fresh(fixture, lease, "a", first));
    assert_eq!(changes(&mut stream, 1).await, [put_a]);
    for name in ["b", "c"] {
        let names = [name];
        let (seen, at) = tokio::join!(changes(&mut stream, 1), put(fixture, lease, &names));
        assert_eq!(seen, [Change::Put(fresh(fixture, lease, name, at))]);
    }
    drop(stream);
    assert_eq!(changes(&mut second_stream, 2).await.len(), 2);
}

pub(crate) async fn a_watch_selects_a_key_or_a_prefix(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let from = revision(fixture).await.next();
    let key_of = |name| Selector::Key(key(fixture, name));
    let mut one = watch(fixture, &key_of("g.a"), from).await;
    let mut some = watch(fixture, &Selector::Prefix(key(fixture, "g.")), from).await;
    let together = put(fixture, lease, &["g.a", "g.a.b", "g", "h"]).await;
    put(fixture, lease, &["g-a"]).await;
    backend(fixture).revoke(lease).await.unwrap();
    let end = revision(fixture).await;
    let (a, b) = (
        Change::Put(fresh(fixture, lease, "g.a", together)),
        Change::Put(fresh(fixture, lease, "g.a.b", together)),
    );
    let a_gone = deleted(fixture, "g.a", end);
    let b_gone = deleted(fixture, "g.a.b", end);
    let seen = changes(&mut one, 2).await;
    assert_eq!(seen, [a.clone(), a_gone.clone()]);
    assert_eq!(changes(&mut some, 4).await, [a, b, a_gone, b_gone]);
}

pub(crate) async fn a_watch_from_a_compacted_revision_fails(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let first = put(fixture, lease, &["a"]).await;
    put(fixture, lease, &["b"]).await;
    let last = put(fixture, lease, &["c"]).await;
    fixture.compact().await;
    // A registry may report this at once, or on the stream, which then ends.
    let error = match backend(fixture).watch(&all(fixture), first).await {
        Err(error) => error,
        Ok(mut stream) => {
            let error = stream.next().await.unwrap().unwrap_err();
            assert_eq!(stream.next().await, None);
            error
        }
    };
    assert_eq!(error.kind(), RegistryErrorKind::Compacted);
    let listing = backend(fixture).list(fixture.prefix()).await.unwrap();
    assert_eq!((listing.entries.len(), listing.revision), (3, last));
    let mut stream = watch(fixture, &all(fixture), last.next()).await;
    let at = put(fixture, lease, &["d"]).await;
    let seen = changes(&mut stream, 1).await;
    assert_eq!(seen, [Change::Put(fresh(fixture, lease, "d", at))]);
}

pub(crate) async fn a_watch_from_a_revision_not_reached_yet_fails(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    let last = put(fixture, lease, &["a"]).await;
    // The next revision has not been reached either, but must be accepted.
    let mut stream = watch(fixture, &all(fixture), last.next()).await;
    // A caller can know a later revision only from another registry, or from before a restore.
    for from in [last.get() + 2, last.get() + 1000, i64::MAX] {
        let refused = backend(fixture)
            .watch(&all(fixture), Revision::new(from))
            .await;
        let error = refused.map(drop).unwrap_err();
        assert_eq!(error.kind(), RegistryErrorKind::Compacted, "{from}");
    }
    let at = put(fixture, lease, &["b"]).await;
    let seen = changes(&mut stream, 1).await;
    assert_eq!(seen, [Change::Put(fresh(fixture, lease, "b", at))]);
}

pub(crate) async fn a_read_returns_one_key_and_a_watch_continues_from_it(fixture: &impl Fixture) {
    let lease = grant(fixture).await;
    put(fixture, lease, &["a.b", "a-b", "aa"]).await;
    let name = key(fixture, "a");
    let before = backend(fixture).read(&name).await.unwrap();
    assert_eq!(
        (before.entries.len(), before.revision),
        (0, revision(fixture).await)
    );
    let at = put(fixture, lease, &["a"]).await;
    let mut stream = watch(
        fixture,
        &Selector::Key(name.clone()),
        before.revision.next(),
    )
    .await;
    let entry = fresh(fixture, lease, "a", at);
    assert_eq!(changes(&mut stream, 1).await, [Change::Put(entry.clone())]);
    let later = put(fixture, lease, &["b"]).await;
    let after = backend(fixture).read(&name).await.unwrap();
    assert_eq!((after.entries, after.revision), (vec![entry], later));
}

pub(crate) async fn a_watch_survives_quiet_time(fixture: &impl Fixture) {
    let from = revision(fixture).await.next();
    let mut stream = watch(fixture, &all(fixture), from).await;
    let mut quiet = pin!(fixture.pass(Duration::from_secs(20)));
    loop {
        tokio::select! {
            biased;
            item = stream.next() => match item {
                Some(Ok(WatchUpdate::CompleteTo(_))) => {}
                other => panic!("{other:?} while nothing changed"),
            },
            () = &mut quiet => break,
        }
    }
    let lease = grant(fixture).await;
    let at = put(fixture, lease, &["a"]).await;
    let seen = changes(&mut stream, 1).await;
    assert_eq!(seen, [Change::Put(fresh(fixture, lease, "a", at))]);
}
