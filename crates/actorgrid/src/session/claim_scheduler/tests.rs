//! Tests of each transition of the claim scheduler.

use super::*;
use crate::registry::{RegistryErrorKind, value_with_nonce};
use crate::session::ClaimPlace;

type TestEvent = ClaimEvent<u64, u64>;
type TestCommand = ClaimCommand<u64, u64>;

const A: LeaseId = LeaseId(1);
const B: LeaseId = LeaseId(2);
/// The revision at which every epoch key of these tests was created.
const CREATED: i64 = 5;

/// A scheduler, and the waiters that have gone.
struct TestScheduler {
    scheduler: ClaimScheduler<u64, u64>,
    gone: Vec<u64>,
}

impl TestScheduler {
    /// Handles an event. Leaves out the request for a further lease, which is never granted.
    fn handle(&mut self, event: TestEvent) -> Vec<TestCommand> {
        let mut commands = self.handle_all(event);
        commands.retain(|command| !matches!(command, ClaimCommand::RequestLease { .. }));
        commands
    }

    fn handle_all(&mut self, event: TestEvent) -> Vec<TestCommand> {
        self.scheduler
            .handle(event, |waiter| self.gone.contains(waiter))
    }

    fn room(&self) -> usize {
        self.scheduler.room()
    }
}

fn one() -> TestScheduler {
    with_room([usize::MAX])
}

/// Creates a scheduler with leases A and B, which have room for these numbers of names.
fn with_room<const N: usize>(capacities: [usize; N]) -> TestScheduler {
    let leases = [A, B].into_iter().zip(capacities);
    let leases = leases.map(|(id, room)| ClaimLease::new(id, at(CREATED), room));
    TestScheduler {
        scheduler: ClaimScheduler::new(LeasePool::new(leases, MAX_NAMES)),
        gone: Vec::new(),
    }
}

/// Creates a scheduler whose leases have room for four names each, and begins with lease A.
fn growing() -> TestScheduler {
    let first = ClaimLease::new(A, at(CREATED), 4);
    TestScheduler {
        scheduler: ClaimScheduler::new(LeasePool::new([first], 4)),
        gone: Vec::new(),
    }
}

fn request(pause: Duration) -> TestCommand {
    ClaimCommand::RequestLease { pause }
}

fn lease_added() -> TestEvent {
    ClaimEvent::LeaseAdded {
        lease: B,
        epoch_created: at(20),
    }
}

fn at(number: i64) -> Revision {
    Revision::new(number)
}

fn keys(number: u64, count: u64) -> Vec<String> {
    (0..count).map(|key| format!("k{number}.{key}")).collect()
}

/// Creates an order of `count` names. Its nonce, waiter and reservation have the same number.
fn order_of(number: u64, count: u64) -> ClaimOrder<u64, u64> {
    let puts = keys(number, count).into_iter();
    ClaimOrder {
        nonce: number,
        puts: puts.map(|key| (key, value_with_nonce(number))).collect(),
        place: ClaimPlace::Any,
        waiter: number,
        reservation: number,
    }
}

fn order(number: u64) -> ClaimOrder<u64, u64> {
    order_of(number, 1)
}

fn ordered(numbers: impl IntoIterator<Item = u64>) -> TestEvent {
    ClaimEvent::Ordered(numbers.into_iter().map(order).collect())
}

fn names_of(lease: LeaseId, number: u64, count: u64, revision: i64) -> ClaimedNames<u64> {
    ClaimedNames {
        lease,
        revision: at(revision),
        keys: keys(number, count),
        reservation: number,
    }
}

fn send(exchange: ClaimExchange, pause: Duration) -> TestCommand {
    ClaimCommand::Send { exchange, pause }
}

fn claim_of(id: u64, lease: LeaseId, guard: i64, orders: &[ClaimOrder<u64, u64>]) -> TestCommand {
    let claims = orders.iter().map(|order| Claim {
        puts: order.puts.clone(),
    });
    let exchange = ClaimExchange::Claim {
        id: ExchangeId(id),
        lease,
        guard: at(guard),
        claims: claims.collect(),
    };
    send(exchange, Duration::ZERO)
}

fn claim(id: u64, guard: i64, numbers: impl IntoIterator<Item = u64>) -> TestCommand {
    let orders: Vec<_> = numbers.into_iter().map(order).collect();
    claim_of(id, A, guard, &orders)
}

fn raise(lease: LeaseId, pause: Duration) -> TestCommand {
    send(ClaimExchange::Raise { lease }, pause)
}

fn read(id: u64, keys: Vec<String>, pause: Duration) -> TestCommand {
    let id = ExchangeId(id);
    send(ClaimExchange::Read { id, keys }, pause)
}

fn release(id: u64, key: &str, revision: i64, pause: Duration) -> TestCommand {
    let exchange = ClaimExchange::Release {
        id: ExchangeId(id),
        key: key.to_owned(),
        revision: at(revision),
    };
    send(exchange, pause)
}

fn grant(number: u64, revision: i64) -> TestCommand {
    ClaimCommand::Grant {
        waiter: number,
        names: names_of(A, number, 1, revision),
    }
}

fn refuse(number: u64, error: ClaimError) -> TestCommand {
    ClaimCommand::Refuse {
        waiter: number,
        reservation: number,
        error,
    }
}

fn free(reservation: u64) -> TestCommand {
    ClaimCommand::Free { reservation }
}

fn entry(key: &str, nonce: u64, created: i64) -> Entry {
    Entry {
        key: key.to_owned(),
        value: value_with_nonce(nonce),
        created: at(created),
        modified: at(created),
        lease: None,
    }
}

fn error(kind: RegistryErrorKind) -> RegistryError {
    RegistryError::new(kind, "text")
}

fn won(revision: i64) -> ClaimOutcome {
    ClaimOutcome::Won {
        revision: at(revision),
    }
}

/// A refusal that reports our own epoch key with this modification revision.
fn refused(found: &[Option<Entry>], modified: i64) -> ClaimOutcome {
    let mut epoch = entry("epoch", 0, CREATED);
    epoch.modified = at(modified);
    ClaimOutcome::Refused {
        found: found.to_vec(),
        epoch: Some(epoch),
    }
}

fn lost() -> ClaimOutcome {
    ClaimOutcome::Refused {
        found: vec![None],
        epoch: None,
    }
}

fn claimed<const N: usize>(id: u64, outcomes: [ClaimOutcome; N]) -> TestEvent {
    ClaimEvent::Claimed {
        id: ExchangeId(id),
        result: Ok(outcomes.into()),
    }
}

fn claim_failed(id: u64, kind: RegistryErrorKind) -> TestEvent {
    ClaimEvent::Claimed {
        id: ExchangeId(id),
        result: Err(error(kind)),
    }
}

fn raised(lease: LeaseId, revision: i64) -> TestEvent {
    ClaimEvent::Raised {
        lease,
        result: Ok(RaiseOutcome::Raised(at(revision))),
    }
}

fn not_raised(modified: i64) -> TestEvent {
    ClaimEvent::Raised {
        lease: A,
        result: Ok(RaiseOutcome::NoSpace {
            modified: at(modified),
            error: no_space(),
        }),
    }
}

fn no_space() -> RegistryError {
    error(RegistryErrorKind::NoSpace)
}

fn doubt(waiter: u64) -> TestCommand {
    ClaimCommand::Doubt {
        waiter,
        error: ClaimError::InDoubt(no_space()),
    }
}

fn raise_failed(kind: RegistryErrorKind) -> TestEvent {
    ClaimEvent::Raised {
        lease: A,
        result: Err(error(kind)),
    }
}

fn has_read(id: u64, found: &[Option<Entry>]) -> TestEvent {
    ClaimEvent::Read {
        id: ExchangeId(id),
        result: Ok(found.to_vec()),
    }
}

fn released(id: u64) -> TestEvent {
    ClaimEvent::Released {
        id: ExchangeId(id),
        result: Ok(()),
    }
}

/// Creates a scheduler with one lease, where claims with these numbers are in doubt, guarded by
/// `CREATED`, and the epoch is being raised.
fn in_doubt(numbers: impl IntoIterator<Item = u64>) -> TestScheduler {
    let mut scheduler = one();
    scheduler.handle(ordered(numbers));
    let commands = scheduler.handle(claim_failed(1, RegistryErrorKind::Unknown));
    assert_eq!(commands, [raise(A, Duration::ZERO)]);
    scheduler
}

#[test]
fn claims_that_come_together_share_a_batch() {
    let mut scheduler = one();
    assert_eq!(
        scheduler.handle(ordered([1, 2, 3])),
        [claim(1, CREATED, [1, 2, 3])]
    );
    assert_eq!(scheduler.handle(ordered([4])), [claim(2, CREATED, [4])]);
    assert_eq!(scheduler.handle(ordered([])), []);
}

#[test]
fn batches_are_bounded_in_size_and_number() {
    let mut scheduler = one();
    assert_eq!(scheduler.room(), 480);
    assert_eq!(
        scheduler.handle(ordered(0..61)),
        [claim(1, CREATED, 0..60), claim(2, CREATED, 60..61)]
    );
    for batch in 3..9 {
        let number = 100 + batch;
        let expected = [claim(batch, CREATED, [number])];
        assert_eq!(scheduler.handle(ordered([number])), expected);
    }
    assert_eq!(scheduler.room(), 480);
    assert_eq!(scheduler.handle(ordered(200..202)), []);
    assert_eq!(scheduler.room(), 478);
    assert_eq!(scheduler.handle(ordered(300..900)), []);
    assert_eq!(scheduler.room(), 0);
    // Each reply makes room for one more batch.
    assert_eq!(
        scheduler.handle(claimed(2, [won(9)])),
        [
            grant(60, 9),
            claim(9, CREATED, [200, 201].into_iter().chain(300..358))
        ]
    );
    assert_eq!(scheduler.room(), 0);
}

#[test]
fn each_answer_decides_its_own_claim() {
    let mut scheduler = one();
    scheduler.handle(ordered([1, 2, 3, 4]));
    let holder = entry("k2.0", 99, 4);
    let outcomes = [
        won(9),
        refused(&[Some(holder.clone())], CREATED),
        refused(&[Some(entry("k3.0", 3, 8))], CREATED),
        refused(&[None], 12),
    ];
    assert_eq!(
        scheduler.handle(claimed(1, outcomes)),
        [
            grant(1, 9),
            refuse(2, ClaimError::Taken(holder)),
            // An earlier attempt had committed.
            grant(3, 8),
            // Our own raise caused the refusal.
            claim(2, 12, [4]),
        ]
    );
    // The guard does not move back.
    assert_eq!(scheduler.handle(ordered([5])), [claim(3, 12, [5])]);
}

#[test]
fn a_claim_without_an_outcome_is_in_doubt() {
    let mut scheduler = one();
    scheduler.handle(ordered([1, 2, 3]));
    assert_eq!(
        scheduler.handle(claimed(1, [won(9)])),
        [grant(1, 9), raise(A, Duration::ZERO)]
    );
    let keys = vec!["k2.0".to_owned(), "k3.0".to_owned()];
    assert_eq!(
        scheduler.handle(raised(A, 10)),
        [read(2, keys, Duration::ZERO)]
    );
}

#[test]
fn a_claim_that_the_registry_rejects_is_refused() {
    let mut scheduler = one();
    scheduler.handle(ordered([1, 2]));
    let rejected = ClaimError::Registry(error(RegistryErrorKind::NoSpace));
    assert_eq!(
        scheduler.handle(claim_failed(1, RegistryErrorKind::NoSpace)),
        [refuse(1, rejected.clone()), refuse(2, rejected)]
    );
}

#[test]
fn an_epoch_or_a_lease_that_is_lost_ends_the_session() {
    let key_lost = ClaimCommand::Fence(FenceReason::KeyLost);
    let lease_lost = ClaimCommand::Fence(FenceReason::LeaseLost);
    let rest = [refuse(1, ClaimError::Fenced), refuse(2, ClaimError::Fenced)];

    let mut scheduler = one();
    scheduler.handle(ordered([1, 2]));
    let commands = scheduler.handle(claimed(1, [lost(), lost()]));
    assert_eq!(commands[0], key_lost);
    assert_eq!(commands[1..], rest);

    let mut scheduler = one();
    scheduler.handle(ordered([1, 2]));
    let commands = scheduler.handle(claim_failed(1, RegistryErrorKind::LeaseNotFound));
    assert_eq!(commands[0], lease_lost);
    assert_eq!(commands[1..], rest);

    let mut scheduler = in_doubt([1, 2]);
    let commands = scheduler.handle(ClaimEvent::Raised {
        lease: A,
        result: Ok(RaiseOutcome::Refused(None)),
    });
    assert_eq!(commands[0], key_lost);
    assert_eq!(commands[1..], rest);

    let mut scheduler = in_doubt([1, 2]);
    let commands = scheduler.handle(raise_failed(RegistryErrorKind::LeaseNotFound));
    assert_eq!(commands[0], lease_lost);
    assert_eq!(commands[1..], rest);
}

#[test]
fn nothing_is_claimed_beside_a_raise() {
    let mut scheduler = in_doubt([1]);
    assert_eq!(scheduler.handle(ordered([2])), []);
    assert_eq!(
        scheduler.handle(raised(A, 11)),
        [read(2, keys(1, 1), Duration::ZERO), claim(3, 11, [2])]
    );
}

#[test]
fn a_raise_that_failed_is_repeated_after_a_pause() {
    for kind in [RegistryErrorKind::Unknown, RegistryErrorKind::Unavailable] {
        let mut scheduler = in_doubt([1]);
        assert_eq!(
            scheduler.handle(raise_failed(kind)),
            [raise(A, RETRY_PAUSE)]
        );
        assert_eq!(scheduler.handle(ordered([2])), []);
        assert_eq!(
            scheduler.handle(raise_failed(kind)),
            [raise(A, RETRY_PAUSE)]
        );
        assert_eq!(scheduler.handle(raised(A, 11)).len(), 2);
    }
    assert_eq!(RETRY_PAUSE, Duration::from_millis(100));
}

#[test]
fn a_full_registry_decides_no_claim_in_doubt_and_keeps_no_other_waiting() {
    let mut scheduler = in_doubt([1, 2, 3]);
    assert_eq!(scheduler.handle(ordered([4])), []);
    let all: Vec<String> = [1, 2, 3].into_iter().flat_map(|n| keys(n, 1)).collect();
    let rejected = |number| refuse(number, ClaimError::Registry(no_space()));
    assert_eq!(
        scheduler.handle(not_raised(CREATED)),
        [
            read(2, all, Duration::ZERO),
            raise(A, NO_SPACE_PAUSE),
            rejected(4)
        ]
    );
    assert_eq!(scheduler.handle(ordered([5])), [rejected(5)]);
    // A claim that is found was won. The others may still commit, even where there is another
    // holder.
    let found = [Some(entry("k1.0", 1, 9)), None, Some(entry("k3.0", 99, 4))];
    assert_eq!(
        scheduler.handle(has_read(2, &found)),
        [grant(1, 9), doubt(2), doubt(3)]
    );
    // The keys are not read again, as nobody waits for the result.
    assert_eq!(
        scheduler.handle(not_raised(CREATED)),
        [raise(A, NO_SPACE_PAUSE)]
    );
    let two: Vec<String> = [2, 3].into_iter().flat_map(|n| keys(n, 1)).collect();
    assert_eq!(
        scheduler.handle(raised(A, 12)),
        [read(3, two, Duration::ZERO)]
    );
    // A claim that had committed after all is released, as nobody waits for it.
    let found = [Some(entry("k2.0", 2, 10)), None];
    assert_eq!(
        scheduler.handle(has_read(3, &found)),
        [free(3), release(4, "k2.0", 10, Duration::ZERO)]
    );
    assert_eq!(scheduler.handle(released(4)), [free(2)]);
    // There is space again, so claims are sent.
    assert_eq!(scheduler.handle(ordered([6])), [claim(5, 12, [6])]);
}

#[test]
fn a_raise_that_filled_the_storage_settles_and_one_that_finds_space_meanwhile_too() {
    let mut scheduler = in_doubt([1]);
    let commands = scheduler.handle(not_raised(12));
    let settling = read(2, keys(1, 1), Duration::ZERO);
    assert_eq!(commands, [settling, raise(A, NO_SPACE_PAUSE)]);
    // The claim can no longer commit, and is not sent again without space.
    assert_eq!(
        scheduler.handle(has_read(2, &[None])),
        [refuse(1, ClaimError::Registry(no_space()))]
    );

    let mut scheduler = in_doubt([1]);
    scheduler.handle(not_raised(CREATED));
    // The epoch is raised before the read is answered: another read settles the claim, and it is
    // sent again.
    assert_eq!(scheduler.handle(raised(A, 12)), []);
    let commands = scheduler.handle(has_read(2, &[None]));
    assert_eq!(commands, [raise(A, Duration::ZERO)]);
    let commands = scheduler.handle(raised(A, 13));
    assert_eq!(commands, [read(3, keys(1, 1), Duration::ZERO)]);
    let commands = scheduler.handle(has_read(3, &[None]));
    assert_eq!(commands, [claim(4, 13, [1])]);
}

#[test]
fn the_end_frees_a_claim_whose_waiter_was_told_of_the_doubt() {
    let mut scheduler = in_doubt([1, 2]);
    scheduler.handle(not_raised(CREATED));
    // A failed read is retried, and then the session ends during both.
    let failed = ClaimEvent::Read {
        id: ExchangeId(2),
        result: Err(error(RegistryErrorKind::Unknown)),
    };
    let both: Vec<String> = [1, 2].into_iter().flat_map(|n| keys(n, 1)).collect();
    assert_eq!(scheduler.handle(failed), [read(2, both, RETRY_PAUSE)]);
    assert_eq!(
        scheduler.handle(has_read(2, &[None, None])),
        [doubt(1), doubt(2)]
    );
    assert_eq!(scheduler.handle(ClaimEvent::Ended), [free(1), free(2)]);
}

#[test]
fn one_raise_settles_all_that_is_in_doubt() {
    let mut scheduler = one();
    scheduler.handle(ordered([1]));
    scheduler.handle(ordered([2]));
    assert_eq!(
        scheduler.handle(claim_failed(1, RegistryErrorKind::Unknown)),
        [raise(A, Duration::ZERO)]
    );
    assert_eq!(
        scheduler.handle(claim_failed(2, RegistryErrorKind::Unknown)),
        []
    );
    assert_eq!(
        scheduler.handle(raised(A, CREATED + 1)),
        [
            read(3, keys(1, 1), Duration::ZERO),
            read(4, keys(2, 1), Duration::ZERO)
        ]
    );
    // The epoch is not raised again.
    assert_eq!(scheduler.handle(raised(A, 99)), []);
}

#[test]
fn a_registry_that_went_back_ends_the_session() {
    let key_lost = || ClaimCommand::Fence(FenceReason::KeyLost);
    let fenced = |number| refuse(number, ClaimError::Fenced);

    // A raise creates a new revision.
    for revision in [CREATED - 1, CREATED] {
        let mut scheduler = in_doubt([1, 2]);
        assert_eq!(
            scheduler.handle(raised(A, revision)),
            [key_lost(), fenced(1), fenced(2)]
        );
        assert_eq!(scheduler.handle(ordered([3])), [fenced(3)]);
    }

    // The epoch was raised to 12 before.
    let mut scheduler = in_doubt([1]);
    scheduler.handle(raised(A, 12));
    scheduler.handle(has_read(2, &[Some(entry("k1.0", 1, 9))]));
    assert_eq!(scheduler.handle(ordered([2, 3])), [claim(3, 12, [2, 3])]);
    let holder = entry("k2.0", 99, 4);
    let outcomes = [refused(&[Some(holder)], 11), refused(&[None], 11)];
    assert_eq!(
        scheduler.handle(claimed(3, outcomes)),
        [key_lost(), fenced(2), fenced(3)]
    );
}

#[test]
fn a_read_settles_each_claim_by_its_own_keys() {
    let mut scheduler = one();
    let orders = [order_of(1, 2), order(2), order_of(3, 2), order(4)];
    scheduler.handle(ClaimEvent::Ordered(orders.into()));
    scheduler.handle(claim_failed(1, RegistryErrorKind::Unknown));
    let all: Vec<String> = [keys(1, 2), keys(2, 1), keys(3, 2), keys(4, 1)].concat();
    assert_eq!(
        scheduler.handle(raised(A, 11)),
        [read(2, all, Duration::ZERO)]
    );
    let holder = entry("k3.1", 77, 2);
    let found = [
        Some(entry("k1.0", 1, 9)),
        Some(entry("k1.1", 1, 9)),
        None,
        None,
        Some(holder.clone()),
        Some(entry("k4.0", 4, 10)),
    ];
    let granted = ClaimCommand::Grant {
        waiter: 1,
        names: names_of(A, 1, 2, 9),
    };
    assert_eq!(
        scheduler.handle(has_read(2, &found)),
        [
            granted,
            refuse(3, ClaimError::Taken(holder)),
            grant(4, 10),
            claim(3, 11, [2]),
        ]
    );
}

#[test]
fn a_read_that_failed_is_repeated_after_a_pause() {
    let mut scheduler = in_doubt([1]);
    scheduler.handle(raised(A, 11));
    for kind in [RegistryErrorKind::Unknown, RegistryErrorKind::Auth] {
        let failed = ClaimEvent::Read {
            id: ExchangeId(2),
            result: Err(error(kind)),
        };
        assert_eq!(scheduler.handle(failed), [read(2, keys(1, 1), RETRY_PAUSE)]);
    }
    assert_eq!(scheduler.handle(has_read(2, &[None])), [claim(3, 11, [1])]);
}

#[test]
fn a_claim_whose_waiter_has_gone_is_not_sent() {
    let mut scheduler = one();
    scheduler.gone = vec![2, 4];
    assert_eq!(
        scheduler.handle(ordered([1, 2, 3])),
        [free(2), claim(1, CREATED, [1, 3])]
    );
    assert_eq!(scheduler.handle(ordered([4])), [free(4)]);

    // A claim that waits for its turn is dropped at the next event, whatever that is.
    for number in 10..17 {
        scheduler.handle(ordered([number]));
    }
    assert_eq!(scheduler.handle(ordered([20, 21, 22, 23])), []);
    assert_eq!(scheduler.room(), 476);
    scheduler.gone = vec![20, 22];
    assert_eq!(scheduler.handle(released(99)), [free(20), free(22)]);
    assert_eq!(scheduler.room(), 478);
    scheduler.gone = vec![21];
    assert_eq!(
        scheduler.handle(claimed(1, [won(9), won(9)])),
        [grant(1, 9), grant(3, 9), free(21), claim(9, CREATED, [23])]
    );
}

#[test]
fn a_claim_whose_waiter_has_gone_is_settled_and_not_repeated() {
    // A claim that was sent is decided first: if it is won, only the holder gives its names up.
    let mut scheduler = one();
    scheduler.handle(ordered([1, 2, 3]));
    scheduler.gone = vec![1, 2, 3];
    let holder = entry("k2.0", 99, 4);
    assert_eq!(
        scheduler.handle(claimed(
            1,
            [
                won(9),
                refused(&[Some(holder.clone())], CREATED),
                refused(&[None], 12)
            ]
        )),
        [grant(1, 9), refuse(2, ClaimError::Taken(holder)), free(3)]
    );

    let mut scheduler = in_doubt([1, 2]);
    scheduler.gone = vec![1, 2];
    assert_eq!(
        scheduler.handle(raised(A, 11)),
        [read(2, [keys(1, 1), keys(2, 1)].concat(), Duration::ZERO)]
    );
    assert_eq!(
        scheduler.handle(has_read(2, &[None, Some(entry("k2.0", 2, 9))])),
        [grant(2, 9), free(1)]
    );
}

#[test]
fn the_end_answers_a_claim_whose_waiter_has_gone() {
    let mut scheduler = one();
    for number in 0..9 {
        scheduler.handle(ordered([number]));
    }
    scheduler.gone = vec![8];
    let commands = scheduler.handle(ClaimEvent::Ended);
    assert_eq!(commands.len(), 9);
    assert!(commands.contains(&refuse(8, ClaimError::Fenced)));
}

#[test]
fn names_are_free_when_their_last_key_is_released() {
    let mut scheduler = one();
    let given_up = ClaimEvent::GivenUp(names_of(A, 1, 2, 9));
    scheduler.handle(ClaimEvent::Ordered(vec![order_of(1, 2)]));
    scheduler.handle(claimed(1, [won(9)]));
    assert_eq!(
        scheduler.handle(given_up),
        [release(2, "k1.0", 9, Duration::ZERO)]
    );
    let failed = || ClaimEvent::Released {
        id: ExchangeId(2),
        result: Err(error(RegistryErrorKind::Unknown)),
    };
    assert_eq!(
        scheduler.handle(failed()),
        [release(2, "k1.0", 9, RETRY_PAUSE)]
    );
    assert_eq!(
        scheduler.handle(released(2)),
        [release(2, "k1.1", 9, Duration::ZERO)]
    );
    assert_eq!(
        scheduler.handle(failed()),
        [release(2, "k1.1", 9, RETRY_PAUSE)]
    );
    assert_eq!(scheduler.handle(released(2)), [free(1)]);
    assert_eq!(scheduler.handle(released(2)), []);
}

#[test]
fn releases_under_way_are_bounded() {
    let mut scheduler = one();
    scheduler.handle(ordered(0..60));
    scheduler.handle(ordered(60..70));
    scheduler.handle(ClaimEvent::Claimed {
        id: ExchangeId(1),
        result: Ok(vec![won(9); 60]),
    });
    scheduler.handle(ClaimEvent::Claimed {
        id: ExchangeId(2),
        result: Ok(vec![won(9); 10]),
    });
    let mut give_up = |number: u64| {
        let names = names_of(A, number, 1, 9);
        scheduler.handle(ClaimEvent::GivenUp(names)).len()
    };
    assert!((0..64).all(|number| give_up(number) == 1));
    assert!((64..70).all(|number| give_up(number) == 0));
    assert_eq!(
        scheduler.handle(released(3)),
        [free(0), release(67, "k64.0", 9, Duration::ZERO)]
    );
}

#[test]
fn a_batch_holds_the_claims_of_one_lease() {
    let mut scheduler = with_room([3, 3]);
    let orders = || vec![order_of(1, 2), order_of(2, 2), order(3), order(4)];
    assert_eq!(
        scheduler.handle(ClaimEvent::Ordered(orders())),
        [
            claim_of(1, A, CREATED, &orders()[..1]),
            claim_of(2, B, CREATED, &orders()[1..3]),
            // The first lease with room is used.
        ]
        .into_iter()
        .chain([claim_of(3, A, CREATED, &orders()[3..])])
        .collect::<Vec<_>>()
    );
    // Both leases are full.
    assert_eq!(scheduler.handle(ordered([5])), []);
}

#[test]
fn a_claim_without_room_waits_and_is_not_overtaken() {
    let mut scheduler = with_room([2]);
    scheduler.handle(ordered([1]));
    assert_eq!(
        scheduler.handle(ClaimEvent::Ordered(vec![order_of(2, 2), order(3)])),
        []
    );
    // Names occupy their lease until they are released.
    assert_eq!(scheduler.handle(claimed(1, [won(9)])), [grant(1, 9)]);
    let names = names_of(A, 1, 1, 9);
    assert_eq!(
        scheduler.handle(ClaimEvent::GivenUp(names)),
        [release(2, "k1.0", 9, Duration::ZERO)]
    );
    assert_eq!(
        scheduler.handle(released(2)),
        [free(1), claim_of(3, A, CREATED, &[order_of(2, 2)])]
    );
}

#[test]
fn a_claim_that_is_not_won_makes_room() {
    // There is room for one of two claims of two names.
    let start = || {
        let mut scheduler = with_room([2]);
        scheduler.handle(ClaimEvent::Ordered(vec![order_of(1, 2), order_of(2, 2)]));
        scheduler
    };
    let doubt = || {
        let mut scheduler = start();
        scheduler.handle(claim_failed(1, RegistryErrorKind::Unknown));
        assert_eq!(
            scheduler.handle(raised(A, 11)),
            [read(2, keys(1, 2), Duration::ZERO)]
        );
        scheduler
    };
    let second = |id, guard| claim_of(id, A, guard, &[order_of(2, 2)]);
    let holder = entry("k1.0", 77, 2);
    let found = [Some(holder.clone()), None];
    let taken = || refuse(1, ClaimError::Taken(holder.clone()));
    assert_eq!(
        start().handle(claimed(1, [refused(&found, CREATED)])),
        [taken(), second(2, CREATED)]
    );
    let rejected = ClaimError::Registry(error(RegistryErrorKind::Unavailable));
    assert_eq!(
        start().handle(claim_failed(1, RegistryErrorKind::Unavailable)),
        [refuse(1, rejected), second(2, CREATED)]
    );
    assert_eq!(
        doubt().handle(has_read(2, &found)),
        [taken(), second(3, 11)]
    );
    // A claim that waits again makes room too, and waits its turn.
    assert_eq!(
        start().handle(claimed(1, [refused(&[None, None], 12)])),
        [second(2, 12)]
    );
    assert_eq!(doubt().handle(has_read(2, &[None, None])), [second(3, 11)]);
    // A claim that is won does not make room.
    let ours = [Some(entry("k1.0", 1, 9)), Some(entry("k1.1", 1, 9))];
    let granted = ClaimCommand::Grant {
        waiter: 1,
        names: names_of(A, 1, 2, 9),
    };
    assert_eq!(doubt().handle(has_read(2, &ours)), [granted]);
}

#[test]
fn an_empty_lease_has_room_for_the_names_of_any_one_claim() {
    let mut scheduler = with_room([1, MAX_NAMES]);
    let order = || order_of(1, MAX_NAMES as u64);
    assert_eq!(
        scheduler.handle(ClaimEvent::Ordered(vec![order()])),
        [claim_of(1, B, CREATED, &[order()])]
    );
}

#[test]
fn claims_that_find_no_room_share_a_lease_that_is_requested_before() {
    let mut scheduler = growing();
    assert_eq!(
        scheduler.handle_all(ordered([1, 2])),
        [claim(1, CREATED, [1, 2])]
    );
    // Less than half a lease is spare from here on.
    assert_eq!(
        scheduler.handle_all(ordered([3])),
        [claim(2, CREATED, [3]), request(Duration::ZERO)]
    );
    assert_eq!(
        scheduler.handle_all(ordered([4, 5, 6])),
        [claim(3, CREATED, [4])]
    );
    let waiting = [order(5), order(6)];
    assert_eq!(
        scheduler.handle_all(lease_added()),
        // With two leases, less than a whole one is spare.
        [claim_of(4, B, 20, &waiting), request(Duration::ZERO)]
    );
    assert_eq!(
        scheduler.handle_all(ordered([7])),
        [claim_of(5, B, 20, &[order(7)])]
    );
}

/// 11,000 claims a second, with a registry that takes 30 ms for a batch, and twice that for a
/// lease.
#[test]
fn claims_that_come_steadily_wait_for_no_lease() {
    const CLAIMS: u64 = 330;
    let first = ClaimLease::first(A, at(CREATED), 1_000);
    let mut scheduler = TestScheduler {
        scheduler: ClaimScheduler::new(LeasePool::new([first], 1_000)),
        gone: Vec::new(),
    };
    let (mut last_lease, mut requested) = (A, None);
    let mut batches = Vec::new();
    for round in 0..200 {
        let mut commands = Vec::new();
        if requested.is_some_and(|since| round >= since + 2) {
            requested = None;
            last_lease = LeaseId(last_lease.0 + 1);
            commands.extend(scheduler.handle_all(ClaimEvent::LeaseAdded {
                lease: last_lease,
                epoch_created: at(20),
            }));
        }
        for (id, claims) in std::mem::take(&mut batches) {
            let result = Ok(vec![won(9); claims]);
            commands.extend(scheduler.handle_all(ClaimEvent::Claimed { id, result }));
        }
        let numbers = round * CLAIMS..(round + 1) * CLAIMS;
        commands.extend(scheduler.handle_all(ordered(numbers)));
        for command in commands {
            match command {
                ClaimCommand::RequestLease { .. } => requested = Some(round),
                ClaimCommand::Send {
                    exchange: ClaimExchange::Claim { id, claims, .. },
                    ..
                } => batches.push((id, claims.len())),
                ClaimCommand::Grant { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(scheduler.scheduler.waiting.is_empty(), "in round {round}");
    }
}

#[test]
fn claims_that_need_a_lease_are_refused_if_none_is_granted() {
    let refused = || ClaimEvent::LeaseRefused(no_space());
    let rejected = |number| refuse(number, ClaimError::Registry(no_space()));
    let mut scheduler = growing();
    scheduler.handle_all(ordered(1..7));
    let again = request(Duration::from_secs(1));
    assert_eq!(
        scheduler.handle_all(refused()),
        [rejected(5), rejected(6), again]
    );
    assert_eq!(scheduler.handle_all(ordered([8])), []);
    assert_eq!(
        scheduler.handle_all(lease_added()),
        [claim_of(2, B, 20, &[order(8)]), request(Duration::ZERO)]
    );

    // A claim that waits only for a raise is not refused.
    let mut scheduler = growing();
    scheduler.handle_all(ordered([1, 2, 3]));
    scheduler.handle_all(claim_failed(1, RegistryErrorKind::Unknown));
    let two = ClaimEvent::Ordered(vec![order(4), order_of(5, 2)]);
    assert_eq!(scheduler.handle_all(two), []);
    assert_eq!(
        scheduler.handle_all(refused()),
        [rejected(5), request(Duration::from_secs(1))]
    );
    assert_eq!(
        scheduler.handle_all(raised(A, 11)).last(),
        Some(&claim(3, 11, [4]))
    );
}

#[test]
fn a_lease_that_comes_after_the_end_is_not_used() {
    for late in [lease_added(), ClaimEvent::LeaseRefused(no_space())] {
        let mut scheduler = growing();
        scheduler.handle_all(ordered(1..6));
        assert_eq!(scheduler.handle_all(ClaimEvent::Ended).len(), 5);
        let text = format!("{late:?}");
        assert_eq!(scheduler.handle_all(late), [], "{text}");
        let refused = [refuse(9, ClaimError::Fenced)];
        assert_eq!(scheduler.handle_all(ordered([9])), refused);
    }
}

/// Creates a claim of two names that needs the first lease.
fn leading(number: u64) -> ClaimOrder<u64, u64> {
    ClaimOrder {
        place: ClaimPlace::First,
        ..order_of(number, 2)
    }
}

/// Creates a scheduler with lease A, which keeps room for a claim that needs it, and three claims,
/// the last of which finds no room there.
fn with_first() -> TestScheduler {
    let first = ClaimLease::first(A, at(CREATED), 4);
    let mut scheduler = TestScheduler {
        scheduler: ClaimScheduler::new(LeasePool::new([first], 4)),
        gone: Vec::new(),
    };
    assert_eq!(
        scheduler.handle_all(ordered([1, 2, 3])),
        [claim(1, CREATED, [1, 2]), request(Duration::ZERO)]
    );
    scheduler
}

#[test]
fn a_claim_that_needs_the_first_lease_waits_for_no_other_lease() {
    let mut scheduler = with_first();
    // It passes a claim that finds no room, and shares no batch with others.
    assert_eq!(
        scheduler.handle_all(ClaimEvent::Ordered(vec![leading(4), order(5)])),
        [claim_of(2, A, CREATED, &[leading(4)])]
    );
    assert_eq!(
        scheduler.handle_all(lease_added()),
        [
            claim_of(3, B, 20, &[order(3), order(5)]),
            request(Duration::ZERO)
        ]
    );
}

#[test]
fn a_claim_that_waits_for_a_raise_of_the_first_lease_holds_up_no_other() {
    let mut scheduler = with_first();
    scheduler.handle_all(lease_added());
    assert_eq!(
        scheduler.handle_all(claim_failed(1, RegistryErrorKind::Unknown)),
        [raise(A, Duration::ZERO)]
    );
    let orders = vec![order(5), leading(4), order(6)];
    assert_eq!(
        scheduler.handle_all(ClaimEvent::Ordered(orders)),
        [claim_of(3, B, 20, &[order(5), order(6)])]
    );
    // Nor is it refused for want of another lease.
    assert_eq!(scheduler.handle(ClaimEvent::LeaseRefused(no_space())), []);
    let both = [keys(1, 1), keys(2, 1)].concat();
    assert_eq!(
        scheduler.handle_all(raised(A, 30)),
        [
            read(4, both, Duration::ZERO),
            claim_of(5, A, 30, &[leading(4)])
        ]
    );
}

#[test]
fn leases_are_raised_apart() {
    let mut scheduler = with_room([1, 9]);
    scheduler.handle(ordered([1, 2]));
    assert_eq!(
        scheduler.handle(claim_failed(2, RegistryErrorKind::Unknown)),
        [raise(B, Duration::ZERO)]
    );
    assert_eq!(
        scheduler.handle(claim_failed(1, RegistryErrorKind::Unknown)),
        [raise(A, Duration::ZERO)]
    );
    // Each raise settles the claims of its own lease, and moves its own guard.
    assert_eq!(
        scheduler.handle(raised(B, 11)),
        [read(3, keys(2, 1), Duration::ZERO)]
    );
    assert_eq!(
        scheduler.handle(ordered([3])),
        [claim_of(4, B, 11, &[order(3)])]
    );
    assert_eq!(
        scheduler.handle(raised(A, 10)),
        [read(5, keys(1, 1), Duration::ZERO)]
    );
    // A claim that is settled as free is sent again, here under the same lease.
    assert_eq!(
        scheduler.handle(has_read(5, &[None])),
        [claim_of(6, A, 10, &[order(1)])]
    );
}

#[test]
fn a_claim_that_was_in_doubt_is_sent_again_under_any_lease_with_room() {
    // To B while A is raised because of another claim.
    let mut scheduler = with_room([2, 9]);
    scheduler.handle(ordered([1]));
    scheduler.handle(ordered([2]));
    scheduler.handle(claim_failed(1, RegistryErrorKind::Unknown));
    assert_eq!(
        scheduler.handle(raised(A, 10)),
        [read(3, keys(1, 1), Duration::ZERO)]
    );
    assert_eq!(
        scheduler.handle(claim_failed(2, RegistryErrorKind::Unknown)),
        [raise(A, Duration::ZERO)]
    );
    assert_eq!(
        scheduler.handle(has_read(3, &[None])),
        [claim_of(4, B, CREATED, &[order(1)])]
    );
    let granted = ClaimCommand::Grant {
        waiter: 1,
        names: names_of(B, 1, 1, 12),
    };
    assert_eq!(scheduler.handle(claimed(4, [won(12)])), [granted]);

    // To B because an earlier claim has taken its place under A.
    let mut scheduler = with_room([1, 2]);
    let b = [order(2), order(3)];
    let all = ClaimEvent::Ordered(vec![order(1), order(2), order(3)]);
    assert_eq!(
        scheduler.handle(all),
        [claim(1, CREATED, [1]), claim_of(2, B, CREATED, &b)]
    );
    scheduler.handle(claimed(2, [won(9), won(9)]));
    scheduler.handle(claim_failed(1, RegistryErrorKind::Unknown));
    scheduler.handle(raised(A, 10));
    assert_eq!(scheduler.handle(ordered([4])), []);
    assert_eq!(
        scheduler.handle(has_read(3, &[None])),
        [claim_of(4, A, 10, &[order(4)])]
    );
    scheduler.handle(ClaimEvent::GivenUp(names_of(B, 2, 1, 9)));
    assert_eq!(
        scheduler.handle(released(5)),
        [free(2), claim_of(6, B, CREATED, &[order(1)])]
    );
}

#[test]
fn the_end_answers_all_claims_and_frees_all_names() {
    let mut scheduler = one();
    let fenced = |number| refuse(number, ClaimError::Fenced);
    // Claims being read, being released, in doubt, under way, and waiting.
    scheduler.handle(ordered([1]));
    scheduler.handle(claim_failed(1, RegistryErrorKind::Unknown));
    scheduler.handle(raised(A, 11));
    scheduler.handle(ordered([2]));
    scheduler.handle(claimed(3, [won(12)]));
    scheduler.handle(ClaimEvent::GivenUp(names_of(A, 2, 1, 12)));
    scheduler.handle(ordered([3]));
    scheduler.handle(ordered([4]));
    scheduler.handle(claim_failed(5, RegistryErrorKind::Unknown));
    assert_eq!(scheduler.handle(ordered([5])), []);
    assert_eq!(
        scheduler.handle(ClaimEvent::Ended),
        [fenced(4), fenced(3), fenced(1), fenced(5), free(2)]
    );
    // Nothing is left to do, whatever event follows.
    for late in [
        claimed(6, [won(20)]),
        raised(A, 21),
        raise_failed(RegistryErrorKind::Unknown),
        has_read(2, &[None]),
        released(4),
        ClaimEvent::Ended,
    ] {
        let text = format!("{late:?}");
        assert_eq!(scheduler.handle(late), [], "{text}");
    }
    assert_eq!(scheduler.handle(ordered([6])), [fenced(6)]);
    let names = names_of(A, 7, 1, 12);
    assert_eq!(scheduler.handle(ClaimEvent::GivenUp(names)), [free(7)]);
}

#[test]
fn names_that_wait_for_their_release_are_freed_at_the_end() {
    let mut scheduler = one();
    for number in 0..66 {
        scheduler.handle(ordered([number]));
        scheduler.handle(claimed(number + 1, [won(9)]));
    }
    for number in 0..66 {
        scheduler.handle(ClaimEvent::GivenUp(names_of(A, number, 1, 9)));
    }
    let all: Vec<TestCommand> = (0..66).map(free).collect();
    assert_eq!(scheduler.handle(ClaimEvent::Ended), all);
}

#[test]
fn answers_that_nothing_waits_for_are_ignored() {
    let mut scheduler = one();
    scheduler.handle(ordered([1]));
    for stray in [
        claimed(2, [won(9)]),
        claim_failed(2, RegistryErrorKind::LeaseNotFound),
        raised(A, 9),
        raised(B, 9),
        raise_failed(RegistryErrorKind::Unknown),
        has_read(1, &[None]),
        released(1),
    ] {
        let text = format!("{stray:?}");
        assert_eq!(scheduler.handle(stray), [], "{text}");
    }
    assert_eq!(scheduler.handle(ordered([2])), [claim(2, CREATED, [2])]);
}
