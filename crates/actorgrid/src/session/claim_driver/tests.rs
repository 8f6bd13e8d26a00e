//! Tests of the order in which names become free and their waiters are answered.

use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::environment::{Environment, Simulation};
use crate::registry::{MemoryFault, MemoryOperation, MemoryRegistry, value_with_nonce};
use crate::revision::Revision;
use crate::session::{ClaimPlace, FenceReason};

type Answer = Result<HeldClaim, ClaimError>;

const LIMIT: Duration = Duration::from_secs(2);

/// The reservation of a claim. When dropped, it checks whether the waiter was answered already.
struct ObservedReservation {
    answer: Arc<Mutex<oneshot::Receiver<Answer>>>,
    seen: mpsc::UnboundedSender<Result<Answer, TryRecvError>>,
}

impl Drop for ObservedReservation {
    fn drop(&mut self) {
        let seen = self.answer.lock().unwrap().try_recv();
        self.seen.send(seen).unwrap();
    }
}

/// An ordered claim from its waiter's point of view.
struct ObservedClaim {
    answer: Arc<Mutex<oneshot::Receiver<Answer>>>,
    at_drop: mpsc::UnboundedReceiver<Result<Answer, TryRecvError>>,
}

impl ObservedClaim {
    fn order(nonce: u64) -> (ClaimOrder<ClaimWaiter, OnFree>, Self) {
        let (waiter, answer) = oneshot::channel();
        let answer = Arc::new(Mutex::new(answer));
        let (seen, at_drop) = mpsc::unbounded_channel();
        let reservation = ObservedReservation {
            answer: answer.clone(),
            seen,
        };
        let order = ClaimOrder {
            nonce,
            puts: vec![(format!("k{nonce}"), value_with_nonce(nonce))],
            place: ClaimPlace::Any,
            reservation: OnFree::dropping(reservation),
            waiter,
        };
        (order, Self { answer, at_drop })
    }

    /// Asserts that the reservation is free, and was freed while the waiter was still waiting.
    #[track_caller]
    fn was_free_first(&mut self) {
        let seen = self
            .at_drop
            .try_recv()
            .expect("the reservation is still held");
        assert!(matches!(seen, Err(TryRecvError::Empty)), "{seen:?}");
    }

    fn answer(&self) -> Result<Answer, TryRecvError> {
        self.answer.lock().unwrap().try_recv()
    }
}

/// The claim driver of a session in a memory registry.
struct DrivenSession {
    memory: MemoryRegistry,
    fence: Arc<Fence>,
    orders: OrderSender,
    driver: ClaimDriver,
}

async fn begin(environment: &Environment) -> DrivenSession {
    let memory = MemoryRegistry::new(environment);
    let registry = TimedRegistry::new(environment, &memory.registry(), LIMIT);
    memory.overwrite("epoch", "value");
    let keys = ["epoch".to_owned()];
    let found = registry.exchange(|backend| backend.get(&keys)).await;
    let created = found.unwrap()[0].as_ref().unwrap().created;
    let ttl = Duration::from_secs(60);
    let lease = registry.exchange(|backend| backend.grant(ttl)).await;
    let epoch = Epoch {
        lease: lease.unwrap().id,
        key: "epoch".to_owned(),
        value: Bytes::from_static(b"value"),
        created,
    };
    let end = environment.now() + ttl;
    let fence = Arc::new(Fence::new(environment.clone(), end, end));
    let (orders, receiver) = order_queue(8);
    let (requests, _) = mpsc::channel(1);
    let (_, granted) = mpsc::channel(1);
    let further = FurtherLeases { requests, granted };
    DrivenSession {
        memory,
        fence: fence.clone(),
        orders,
        driver: ClaimDriver::new(registry, fence, epoch, further, 100, receiver),
    }
}

#[test]
fn an_order_that_is_dropped_is_free_before_its_waiter_learns_of_it() {
    let (order, mut claim) = ObservedClaim::order(1);
    drop(order);
    claim.was_free_first();
    assert!(matches!(claim.answer(), Err(TryRecvError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_fence_frees_and_answers_the_claims_that_are_under_way_and_that_wait() {
    let environment = Simulation::new(7).environment();
    let DrivenSession {
        memory,
        fence,
        orders,
        driver,
    } = begin(&environment).await;
    memory.inject(MemoryOperation::Claim, MemoryFault::Delay(LIMIT / 2));
    let (under_way, mut first) = ObservedClaim::order(1);
    let (queued, mut second) = ObservedClaim::order(2);
    orders.any.try_send(under_way).unwrap();
    let work = async {
        environment.sleep(LIMIT / 4).await;
        assert_eq!(memory.calls(MemoryOperation::Claim), 1);
        assert!(matches!(first.answer(), Err(TryRecvError::Empty)));
        fence.trip(FenceReason::KeyLost);
        // The driver has not noticed the fence yet, and finds this order in its queue.
        orders.any.try_send(queued).unwrap();
        environment.now()
    };
    let ended = async {
        driver.run().await;
        environment.now()
    };
    let (fenced, ended) = tokio::join!(work, ended);
    assert_eq!(ended, fenced);
    for claim in [&mut first, &mut second] {
        claim.was_free_first();
        assert!(matches!(claim.answer(), Ok(Err(ClaimError::Fenced))));
    }
    assert_eq!(memory.calls(MemoryOperation::Claim), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_taken_is_free_before_its_waiter_learns_of_it() {
    let environment = Simulation::new(7).environment();
    let session = begin(&environment).await;
    session.memory.overwrite("k1", "another's");
    let (order, mut claim) = ObservedClaim::order(1);
    session.orders.any.try_send(order).unwrap();
    let run = environment.timeout(LIMIT, session.driver.run());
    assert_eq!(run.await, None);
    claim.was_free_first();
    assert!(matches!(claim.answer(), Ok(Err(ClaimError::Taken(_)))));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "only under leases with an epoch")]
async fn an_exchange_under_a_lease_without_an_epoch_is_a_defect() {
    let environment = Simulation::new(7).environment();
    let session = begin(&environment).await;
    let exchange = ClaimExchange::Claim {
        id: crate::session::claim_exchange::ExchangeId(1),
        lease: LeaseId(99),
        guard: Revision::ZERO,
        claims: Vec::new(),
    };
    session.driver.exchange(exchange, Duration::ZERO).await;
}
