//! Tests of the memory registry and its faults.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;

use super::{MemoryFault, MemoryOperation, MemoryRegistry};
use crate::environment::{Environment, Simulation};
use crate::registry::conformance::{Fixture, conformance_suite};
use crate::registry::{
    Backend, Change, Claim, ClaimBatch, ClaimOutcome, Entry, Guard, LeaseId, RaiseOutcome,
    Registry, RegistryError, RegistryErrorKind, Selector, WatchStream, WatchUpdate,
};
use crate::revision::Revision;

struct Embedded {
    memory: MemoryRegistry,
    registry: Registry,
}

impl Fixture for Embedded {
    async fn start() -> Self {
        let memory = start();
        let registry = memory.registry();
        Self { memory, registry }
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn prefix(&self) -> &'static str {
        "conformance."
    }

    async fn compact(&self) {
        self.memory.compact();
    }

    async fn pass(&self, time: Duration) {
        pass(time).await;
    }
}

mod conforms {
    use super::*;

    conformance_suite!(Embedded, tokio::test(start_paused = true));
}

const TTL: Duration = Duration::from_secs(15);
const SECOND: Duration = Duration::from_secs(1);

fn start() -> MemoryRegistry {
    MemoryRegistry::new(&Simulation::new(7).environment())
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Waits far longer than any fault lasts, and returns whether the call is still unanswered.
async fn unanswered<T>(call: impl Future<Output = T>) -> bool {
    tokio::time::timeout(600 * SECOND, call).await.is_err()
}

async fn grant(memory: &MemoryRegistry) -> LeaseId {
    memory.grant(TTL).await.unwrap().id
}

fn batch(lease: LeaseId, key: &str) -> ClaimBatch {
    let puts = vec![(key.to_owned(), Bytes::from_static(b"nonce"))];
    ClaimBatch {
        lease,
        guard: None,
        claims: vec![Claim { puts }],
    }
}

async fn claim(
    memory: &MemoryRegistry,
    lease: LeaseId,
    key: &str,
) -> Result<Revision, RegistryError> {
    let outcomes = memory.claim(&batch(lease, key)).await?;
    match &outcomes[..] {
        [ClaimOutcome::Won { revision }] => Ok(*revision),
        other => panic!("{other:?}"),
    }
}

async fn get(memory: &MemoryRegistry, key: &str) -> Option<Entry> {
    memory.get(&[key.to_owned()]).await.unwrap().remove(0)
}

async fn watch(memory: &MemoryRegistry) -> WatchStream {
    let from = memory.list("").await.unwrap().revision.next();
    let all = Selector::Prefix(String::new());
    memory.watch(&all, from).await.unwrap()
}

/// Returns the keys that the next revision put or deleted.
async fn next(stream: &mut WatchStream) -> Result<Vec<String>, RegistryErrorKind> {
    let mut changes = Vec::new();
    while changes.is_empty() {
        let next = tokio::time::timeout(600 * SECOND, stream.next()).await;
        let update = next.expect("no update arrived").expect("the watch ended");
        if let WatchUpdate::Changes(next) = update.map_err(|error| error.kind())? {
            changes = next;
        }
    }
    let text = |change: &Change| match change {
        Change::Put(entry) => format!("+{}", entry.key),
        Change::Deleted { key, .. } => format!("-{key}"),
    };
    Ok(changes.iter().map(text).collect())
}

fn kind<T>(result: Result<T, RegistryError>) -> Result<T, RegistryErrorKind> {
    result.map_err(|error| error.kind())
}

fn seen(text: &str) -> Result<Vec<String>, RegistryErrorKind> {
    Ok(vec![text.to_owned()])
}

const UNAVAILABLE: RegistryErrorKind = RegistryErrorKind::Unavailable;
const UNKNOWN: RegistryErrorKind = RegistryErrorKind::Unknown;

#[tokio::test(start_paused = true)]
async fn refused_calls_do_nothing() {
    let memory = start();
    let lease = grant(&memory).await;
    memory.inject(MemoryOperation::Claim, MemoryFault::Refuse);
    assert_eq!(kind(claim(&memory, lease, "a").await), Err(UNAVAILABLE));
    assert_eq!(get(&memory, "a").await, None);
    assert!(claim(&memory, lease, "a").await.is_ok());
    assert_eq!(memory.calls(MemoryOperation::Claim), 2);
    assert_eq!(memory.calls(MemoryOperation::Get), 1);
    assert_eq!(memory.calls(MemoryOperation::Raise), 0);
}

#[tokio::test(start_paused = true)]
async fn lost_requests_do_nothing_and_lost_replies_leave_it_done() {
    let memory = start();
    let lease = grant(&memory).await;
    memory.inject(MemoryOperation::Claim, MemoryFault::LoseRequest);
    memory.inject(MemoryOperation::Claim, MemoryFault::LoseReply);
    memory.inject(MemoryOperation::Claim, MemoryFault::FailReply);
    memory.inject(MemoryOperation::Release, MemoryFault::Refuse);
    // The lease expires while no reply comes, so use the watch to see what was done.
    let mut stream = watch(&memory).await;
    assert!(unanswered(claim(&memory, lease, "lost request")).await);
    let lease = grant(&memory).await;
    assert!(unanswered(claim(&memory, lease, "lost reply")).await);
    let lease = grant(&memory).await;
    let answer = claim(&memory, lease, "failed reply").await;
    assert_eq!(kind(answer), Err(UNKNOWN));
    assert_eq!(next(&mut stream).await, seen("+lost reply"));
    assert_eq!(next(&mut stream).await, seen("-lost reply"));
    assert_eq!(next(&mut stream).await, seen("+failed reply"));
    // Each operation has a separate queue of faults.
    assert_eq!(
        kind(memory.release("x", Revision::new(1)).await),
        Err(UNAVAILABLE)
    );
    assert_eq!(kind(memory.release("x", Revision::new(1)).await), Ok(false));
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_arrives_and_is_answered_later() {
    let memory = start();
    let mut stream = watch(&memory).await;
    let lease = grant(&memory).await;
    let delay = MemoryFault::Delay(3 * SECOND);
    memory.inject(MemoryOperation::Claim, delay);
    let begin = memory.core.environment.now();
    let (answer, seen_by_watch, before) = tokio::join!(
        claim(&memory, lease, "a"),
        async {
            let seen = next(&mut stream).await;
            (seen, memory.core.environment.now())
        },
        async {
            pass(2 * SECOND).await;
            get(&memory, "a").await
        }
    );
    assert_eq!(before, None);
    assert_eq!(get(&memory, "a").await.unwrap().created, answer.unwrap());
    let arrived = begin + 3 * SECOND;
    assert_eq!(seen_by_watch, (seen("+a"), arrived));
    assert_eq!(memory.core.environment.now(), arrived);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_arrives_also_without_its_caller() {
    let memory = start();
    let lease = grant(&memory).await;
    let delay = MemoryFault::Delay(3 * SECOND);
    memory.inject(MemoryOperation::Claim, delay);
    let gone = tokio::time::timeout(SECOND, claim(&memory, lease, "a")).await;
    assert!(gone.is_err());
    assert_eq!(get(&memory, "a").await, None);
    pass(2 * SECOND).await;
    assert!(get(&memory, "a").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_delayed_reply_reflects_the_time_of_its_request() {
    let memory = start();
    let lease = grant(&memory).await;
    let begin = memory.core.environment.now();
    let delay = MemoryFault::DelayReply(5 * SECOND);
    memory.inject(MemoryOperation::Get, delay);
    let (read, claimed) = tokio::join!(memory.read("a"), claim(&memory, lease, "a"));
    assert_eq!(read.unwrap().entries, []);
    assert_eq!(memory.core.environment.now(), begin + 5 * SECOND);
    claimed.unwrap();
    assert!(get(&memory, "a").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_late_claim_reaches_watches_at_its_time() {
    let memory = start();
    let lease = grant(&memory).await;
    let mut stream = watch(&memory).await;
    let begin = memory.core.environment.now();
    let late = MemoryFault::ArriveLate(5 * SECOND);
    memory.inject(MemoryOperation::Claim, late);
    let (seen_by_watch, answer) = tokio::join!(next(&mut stream), async {
        let answer = claim(&memory, lease, "a").await;
        assert_eq!(memory.core.environment.now(), begin);
        answer
    });
    assert_eq!(kind(answer), Err(UNKNOWN));
    assert_eq!(seen_by_watch, seen("+a"));
    assert_eq!(memory.core.environment.now(), begin + 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_late_claim_is_settled_by_a_raise_and_by_a_revoke() {
    let memory = start();
    let lease = grant(&memory).await;
    let created = claim(&memory, lease, "epoch").await.unwrap();
    let late = MemoryFault::ArriveLate(5 * SECOND);
    memory.inject(MemoryOperation::Claim, late);
    memory.inject(MemoryOperation::Claim, late);
    let guarded = ClaimBatch {
        guard: Some(Guard {
            epoch: "epoch".to_owned(),
            modified: created,
        }),
        ..batch(lease, "a")
    };
    assert!(memory.claim(&guarded).await.is_err());
    let raised = memory.raise("epoch", created, lease, Bytes::new()).await;
    assert!(matches!(raised, Ok(RaiseOutcome::Raised(at)) if at > created));
    assert!(claim(&memory, lease, "b").await.is_err());
    memory.revoke(lease).await.unwrap();
    pass(10 * SECOND).await;
    assert!(memory.list("").await.unwrap().entries.is_empty());
}

#[tokio::test(start_paused = true)]
async fn late_requests_and_ends_of_leases_happen_in_the_order_of_their_times() {
    let memory = start();
    let (first, second) = (grant(&memory).await, grant(&memory).await);
    claim(&memory, first, "a").await.unwrap();
    claim(&memory, second, "b").await.unwrap();
    // One renewal arrives just in time, the other when the lease has ended.
    let just = TTL - Duration::from_nanos(1);
    memory.inject(MemoryOperation::Renew, MemoryFault::ArriveLate(just));
    memory.inject(MemoryOperation::Renew, MemoryFault::ArriveLate(TTL));
    assert!(memory.renew(first).await.is_err());
    assert!(memory.renew(second).await.is_err());
    // Nothing looks at the state until all of this is past.
    pass(TTL + SECOND).await;
    let left = memory.remaining(first).await.unwrap();
    assert_eq!(left, Some(TTL - SECOND - Duration::from_nanos(1)));
    assert_eq!(memory.remaining(second).await.unwrap(), None);
    assert!(get(&memory, "a").await.is_some());
    assert_eq!(get(&memory, "b").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_lease_has_ended_exactly_when_its_time_is_over() {
    let memory = start();
    let lease = grant(&memory).await;
    pass(TTL - Duration::from_millis(1)).await;
    assert_eq!(memory.renew(lease).await.unwrap(), TTL);
    pass(TTL).await;
    let error = memory.renew(lease).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::LeaseNotFound);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_lease_reaches_a_watch_at_its_time() {
    let memory = start();
    let mut stream = watch(&memory).await;
    let granted = memory.core.environment.now();
    let (_, lease) = tokio::join!(
        async {
            assert_eq!(next(&mut stream).await, seen("+a"));
            assert_eq!(next(&mut stream).await, seen("-a"));
            assert_eq!(memory.core.environment.now(), granted + 5 * SECOND + TTL);
        },
        async {
            // The watch is already waiting when the lease is granted and when it is renewed.
            pass(SECOND).await;
            let lease = grant(&memory).await;
            claim(&memory, lease, "a").await.unwrap();
            pass(4 * SECOND).await;
            memory.renew(lease).await.unwrap();
            lease
        }
    );
    assert_eq!(memory.remaining(lease).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn an_absent_registry_answers_nothing_and_ages() {
    let memory = start();
    let lease = grant(&memory).await;
    claim(&memory, lease, "a").await.unwrap();
    let mut stream = watch(&memory).await;
    memory.inject(MemoryOperation::Grant, MemoryFault::Refuse);
    let late = MemoryFault::ArriveLate(SECOND);
    memory.inject(MemoryOperation::Claim, late);
    assert!(claim(&memory, lease, "lost on its way").await.is_err());
    memory.set_away(true);
    let mut pending_claim = Box::pin(claim(&memory, lease, "b"));
    tokio::select! {
        biased;
        answer = &mut pending_claim => panic!("{answer:?}"),
        item = stream.next() => panic!("{item:?}"),
        () = pass(TTL) => {}
    }
    assert!(unanswered(memory.grant(TTL)).await);
    memory.set_away(false);
    assert_eq!(next(&mut stream).await, seen("-a"));
    assert!(unanswered(pending_claim).await);
    assert!(memory.list("").await.unwrap().entries.is_empty());
    assert_eq!(memory.calls(MemoryOperation::Grant), 2);
    // The fault was kept for a call that got through.
    assert_eq!(kind(memory.grant(TTL).await), Err(UNAVAILABLE));
}

#[tokio::test(start_paused = true)]
async fn a_return_wakes_a_waiting_watch() {
    let memory = start();
    let mut stream = watch(&memory).await;
    memory.set_away(true);
    let ((), ()) = tokio::join!(
        async { assert_eq!(next(&mut stream).await, seen("+a")) },
        async {
            pass(SECOND).await;
            memory.overwrite("a", "value");
            pass(SECOND).await;
            memory.set_away(false);
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusing_registry_refuses_all_and_ends_watches() {
    let memory = start();
    let lease = grant(&memory).await;
    let mut waiting = watch(&memory).await;
    let mut idle = watch(&memory).await;
    let delay = MemoryFault::Delay(2 * SECOND);
    memory.inject(MemoryOperation::Claim, delay);
    let (ended, delayed, ()) =
        tokio::join!(next(&mut waiting), claim(&memory, lease, "a"), async {
            pass(SECOND).await;
            memory.set_refusing(true);
            let all = Selector::Prefix(String::new());
            assert_eq!(kind(memory.grant(TTL).await), Err(UNAVAILABLE));
            assert_eq!(kind(memory.renew(lease).await), Err(UNAVAILABLE));
            assert_eq!(kind(memory.remaining(lease).await), Err(UNAVAILABLE));
            assert_eq!(kind(memory.revoke(lease).await), Err(UNAVAILABLE));
            assert_eq!(kind(claim(&memory, lease, "b").await), Err(UNAVAILABLE));
            assert_eq!(
                kind(memory.release("b", Revision::new(1)).await),
                Err(UNAVAILABLE)
            );
            assert_eq!(kind(memory.get(&[]).await), Err(UNAVAILABLE));
            assert_eq!(kind(memory.list("").await), Err(UNAVAILABLE));
            let raised = memory
                .raise("b", Revision::new(1), lease, Bytes::new())
                .await;
            assert_eq!(kind(raised), Err(UNAVAILABLE));
            assert!(memory.watch(&all, Revision::new(1)).await.is_err());
        });
    assert_eq!(ended, Err(UNAVAILABLE));
    assert_eq!(waiting.next().await, None);
    assert_eq!(kind(delayed), Err(UNAVAILABLE));
    memory.set_refusing(false);
    // A watch that was not polled meanwhile ends as well.
    assert_eq!(next(&mut idle).await, Err(UNAVAILABLE));
    assert!(claim(&memory, lease, "b").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn changes_by_an_operator_reach_watches() {
    let memory = start();
    let (first, second) = (grant(&memory).await, grant(&memory).await);
    let created = claim(&memory, first, "a").await.unwrap();
    claim(&memory, second, "b").await.unwrap();
    claim(&memory, second, "c").await.unwrap();
    let mut stream = watch(&memory).await;
    memory.overwrite("a", "mine");
    assert!(memory.delete("c"));
    assert!(!memory.delete("c"));
    memory.expire_leases();
    for text in ["+a", "-c", "-b"] {
        assert_eq!(next(&mut stream).await, seen(text));
    }
    let entry = get(&memory, "a").await.unwrap();
    assert_eq!((entry.created, entry.lease), (created, None));
    assert_eq!(entry.value, "mine");
    assert_eq!(memory.remaining(second).await.unwrap(), None);
    memory.break_watches();
    assert_eq!(next(&mut stream).await, Err(UNAVAILABLE));
    assert_eq!(stream.next().await, None);
    // A watch that is opened afterwards works.
    let mut stream = watch(&memory).await;
    memory.delete("a");
    assert_eq!(next(&mut stream).await, seen("-a"));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_reports_how_far_it_is_complete() {
    let memory = start();
    let from = memory.list("").await.unwrap().revision.next();
    let selector = Selector::Key("a".to_owned());
    let mut stream = memory.watch(&selector, from).await.unwrap();
    for value in ["1", "2"] {
        memory.overwrite("b", value);
        let now = memory.list("").await.unwrap().revision;
        let update = stream.next().await.unwrap().unwrap();
        assert_eq!(update, WatchUpdate::CompleteTo(now));
    }
    memory.overwrite("b", "3");
    memory.overwrite("a", "1");
    let update = stream.next().await.unwrap().unwrap();
    assert!(matches!(update, WatchUpdate::Changes(_)), "{update:?}");
}

#[tokio::test(start_paused = true)]
async fn watches_that_are_mute_miss_everything_until_they_end() {
    let memory = start();
    let mut mute = watch(&memory).await;
    memory.mute_watches();
    let mut later = watch(&memory).await;
    memory.overwrite("a", "1");
    assert_eq!(next(&mut later).await, seen("+a"));
    let silent = tokio::time::timeout(600 * SECOND, mute.next()).await;
    assert!(silent.is_err(), "{silent:?}");
    memory.break_watches();
    assert_eq!(next(&mut mute).await, Err(UNAVAILABLE));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_too_slow_is_compacted() {
    let memory = start();
    let mut slow = watch(&memory).await;
    let mut quick = watch(&memory).await;
    memory.overwrite("a", "1");
    assert_eq!(next(&mut quick).await, seen("+a"));
    memory.compact();
    assert_eq!(next(&mut slow).await, Err(RegistryErrorKind::Compacted));
    assert_eq!(slow.next().await, None);
    memory.overwrite("a", "2");
    assert_eq!(next(&mut quick).await, seen("+a"));
}

#[tokio::test(start_paused = true)]
async fn opening_a_watch_fails_as_injected() {
    let memory = start();
    let all = Selector::Prefix(String::new());
    for fault in [
        MemoryFault::Refuse,
        MemoryFault::FailReply,
        MemoryFault::LoseReply,
        MemoryFault::Delay(SECOND),
    ] {
        memory.inject(MemoryOperation::Watch, fault);
    }
    let open = async || kind(memory.watch(&all, Revision::new(1)).await.map(|_| ()));
    assert_eq!(open().await, Err(UNAVAILABLE));
    assert_eq!(open().await, Err(UNKNOWN));
    assert!(unanswered(open()).await);
    let begin = memory.core.environment.now();
    assert_eq!(open().await, Ok(()));
    assert_eq!(memory.core.environment.now(), begin + SECOND);
    assert_eq!(memory.calls(MemoryOperation::Watch), 4);
}

#[tokio::test(start_paused = true)]
async fn clones_share_and_others_do_not() {
    let world = Simulation::new(7);
    let memory = MemoryRegistry::new(&world.environment());
    let registry = memory.clone().registry();
    let lease = registry.backend().grant(TTL).await.unwrap().id;
    claim(&memory, lease, "a").await.unwrap();
    assert!(registry.backend().list("").await.unwrap().entries.len() == 1);
    let other = MemoryRegistry::new(&world.environment());
    assert_ne!(other.cluster(), memory.cluster());
    assert!(other.list("").await.unwrap().entries.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_clock_ends_leases() {
    let world = Simulation::new(7);
    let environment = world.environment();
    let memory = MemoryRegistry::new(&environment);
    let lease = grant(&memory).await;
    claim(&memory, lease, "a").await.unwrap();
    world.jump(&environment, TTL);
    assert_eq!(get(&memory, "a").await, None);
}

#[tokio::test]
async fn the_real_clock_ends_leases_and_delays() {
    let memory = MemoryRegistry::new(&Environment::real());
    let mut stream = watch(&memory).await;
    let lease = memory.grant(Duration::from_millis(300)).await.unwrap().id;
    claim(&memory, lease, "a").await.unwrap();
    assert_eq!(next(&mut stream).await, seen("+a"));
    assert_eq!(next(&mut stream).await, seen("-a"));
    let delay = MemoryFault::Delay(Duration::from_millis(5));
    memory.inject(MemoryOperation::List, delay);
    assert!(memory.list("").await.unwrap().entries.is_empty());
}
