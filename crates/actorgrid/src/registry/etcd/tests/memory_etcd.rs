//! Runs the registry against an etcd in memory, over a simulated network in paused time: the rules
//! that every registry keeps, and faults that a real etcd does not show on demand.

use actorgrid_memory_etcd::{CallFault, CallKind, MemoryEtcd};

use super::*;
use crate::environment::Simulation;
use crate::registry::{Claim, ClaimBatch, ClaimOutcome, Lease, Selector, WatchUpdate};
use crate::revision::Revision;

const TTL: Duration = Duration::from_secs(15);
/// Longer than the client waits for anything.
const LONG: Duration = Duration::from_secs(60);

/// An etcd in memory on a simulated network, and the registry on it.
struct Simulated {
    environment: Environment,
    server: MemoryEtcd,
    endpoint: String,
    etcd: Arc<Etcd>,
    registry: Registry,
}

impl Simulated {
    async fn with(server: MemoryEtcd, user: &str) -> Self {
        let environment = Simulation::new(7).environment();
        let address = "127.0.0.1:0".parse().unwrap();
        let mut listener = environment.listen(address).await.unwrap();
        let endpoint = format!("{user}{}", listener.local_addr().unwrap());
        let (spawner, served) = (environment.clone(), server.clone());
        drop(environment.spawn(async move {
            while let Ok(socket) = listener.accept().await {
                let server = served.clone();
                let serving = async move { server.serve_connection(socket).await };
                drop(spawner.spawn(serving));
            }
        }));
        let etcd = Arc::new(Etcd::connect(&environment, &endpoint).await.unwrap());
        Self {
            environment,
            server,
            endpoint,
            registry: Registry::of(etcd.clone()),
            etcd,
        }
    }

    async fn begin() -> Self {
        Self::with(MemoryEtcd::builder().seed(7).build(), "").await
    }

    async fn grant(&self) -> Lease {
        self.etcd.grant(TTL).await.unwrap()
    }

    fn batch(lease: &Lease, key: &str) -> ClaimBatch {
        let puts = vec![(key.to_owned(), Bytes::from_static(b"nonce"))];
        ClaimBatch {
            lease: lease.id,
            guard: None,
            claims: vec![Claim { puts }],
        }
    }

    async fn claim(&self, lease: &Lease, key: &str) -> Result<bool, RegistryError> {
        let outcomes = self.etcd.claim(&Self::batch(lease, key)).await?;
        Ok(matches!(outcomes[..], [ClaimOutcome::Won { .. }]))
    }

    /// Reads until that fails for another reason than a connection that was cut.
    async fn read_error(&self) -> RegistryErrorKind {
        loop {
            match self.etcd.list("").await {
                Err(error) if !error.is_retryable() => return error.kind(),
                _ => self.environment.sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

impl Fixture for Simulated {
    async fn start() -> Self {
        Self::begin().await
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn prefix(&self) -> &'static str {
        "conformance."
    }

    async fn compact(&self) {
        self.etcd.compact().await;
    }

    async fn pass(&self, time: Duration) {
        self.environment.sleep(time).await;
    }
}

mod conforms {
    use super::*;

    conformance_suite!(Simulated, tokio::test(start_paused = true));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_lost_after_the_commit_leaves_the_claim_in_place() {
    let simulated = Simulated::begin().await;
    let lease = simulated.grant().await;
    let faults = simulated.server.faults();
    faults.inject(CallKind::Txn, CallFault::LoseReply);
    faults.inject(CallKind::Txn, CallFault::LoseRequest);
    // Both together are shorter than the lease.
    let patience = TTL / 3;
    for (key, is_put) in [("a", true), ("b", false)] {
        let claim = simulated.claim(&lease, key);
        let claim = simulated.environment.timeout(patience, claim).await;
        assert!(claim.is_none_or(|claim| claim.unwrap_err().may_have_executed()));
        assert_eq!(simulated.server.keys().contains(&key.into()), is_put);
    }
    faults.inject(CallKind::Txn, CallFault::FailReply);
    let error = simulated.claim(&lease, "c").await.unwrap_err();
    assert!(error.may_have_executed() && simulated.server.keys().contains(&"c".into()));
}

#[tokio::test(start_paused = true)]
async fn a_claim_arrives_after_its_caller_gave_up() {
    let simulated = Simulated::begin().await;
    let lease = simulated.grant().await;
    let late = CallFault::ArriveLate(Duration::from_secs(3));
    simulated.server.faults().inject(CallKind::Txn, late);
    let second = Duration::from_secs(1);
    let claim = simulated.claim(&lease, "a");
    let claim = simulated.environment.timeout(second, claim).await;
    assert!(claim.is_none() && simulated.server.keys().is_empty());
    simulated.environment.sleep(2 * second).await;
    assert_eq!(simulated.server.keys(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn renewals_that_are_not_real_let_the_lease_end() {
    let simulated = Simulated::begin().await;
    let lease = simulated.grant().await;
    assert!(simulated.claim(&lease, "a").await.unwrap());
    simulated.server.faults().renew_falsely(true);
    let second = Duration::from_secs(1);
    for _ in 0..14 {
        simulated.environment.sleep(second).await;
        assert_eq!(simulated.etcd.renew(lease.id).await, Ok(TTL));
    }
    assert_eq!(simulated.server.keys(), ["a"]);
    simulated.environment.sleep(second).await;
    let error = simulated.etcd.renew(lease.id).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::LeaseNotFound);
    assert!(simulated.server.keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn leases_end_late_and_anew_under_a_new_leader() {
    let simulated = Simulated::begin().await;
    let lease = simulated.grant().await;
    assert!(simulated.claim(&lease, "a").await.unwrap());
    let (second, faults) = (Duration::from_secs(1), simulated.server.faults());
    simulated.environment.sleep(10 * second).await;
    faults.restart_leases();
    simulated.environment.sleep(14 * second).await;
    faults.expire_late(5 * second);
    simulated.environment.sleep(5 * second).await;
    let left = simulated.etcd.remaining(lease.id).await.unwrap();
    assert_eq!(left, Some(second));
    simulated.environment.sleep(second).await;
    assert_eq!(simulated.etcd.remaining(lease.id).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_restored_or_foreign_cluster_is_refused() {
    let simulated = Simulated::begin().await;
    let lease = simulated.grant().await;
    let snapshot = simulated.server.snapshot();
    assert!(simulated.claim(&lease, "a").await.unwrap());
    simulated.server.restore(&snapshot);
    assert_eq!(simulated.read_error().await, RegistryErrorKind::Restored);

    let simulated = Simulated::begin().await;
    simulated.server.faults().pretend_cluster(Some(99));
    assert_eq!(
        simulated.read_error().await,
        RegistryErrorKind::WrongCluster
    );
    simulated.server.faults().heal();
    simulated.etcd.list("").await.unwrap();
    simulated.server.replace();
    assert_eq!(
        simulated.read_error().await,
        RegistryErrorKind::WrongCluster
    );
}

#[tokio::test(start_paused = true)]
async fn a_lagging_header_means_nothing_in_a_renewal_and_a_restore_in_a_read() {
    let simulated = Simulated::begin().await;
    let lease = simulated.grant().await;
    assert!(simulated.claim(&lease, "a").await.unwrap());
    simulated.server.faults().lag_headers(1);
    simulated.etcd.renew(lease.id).await.unwrap();
    let error = simulated.etcd.list("").await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Restored);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_is_silent_and_a_refusing_one_unavailable() {
    let simulated = Simulated::begin().await;
    let lease = simulated.grant().await;
    let faults = simulated.server.faults();
    faults.freeze(true);
    let renewal = simulated.etcd.renew(lease.id);
    let renewal = simulated.environment.timeout(LONG, renewal).await.unwrap();
    assert!(renewal.unwrap_err().to_string().contains("silent"));
    faults.freeze(false);
    let lease = simulated.grant().await;
    faults.refuse(true);
    let error = simulated.etcd.renew(lease.id).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    faults.refuse(false);
    simulated.etcd.renew(lease.id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_muted_watch_lies_and_a_compacted_one_says_so() {
    let simulated = Simulated::begin().await;
    let lease = simulated.grant().await;
    assert!(simulated.claim(&lease, "a").await.unwrap());
    let all = Selector::Prefix(String::new());
    let from = simulated.etcd.list("").await.unwrap().revision.next();
    let mut watch = simulated.etcd.watch(&all, from).await.unwrap();
    simulated.server.faults().swallow_messages(1);
    assert!(simulated.claim(&lease, "b").await.unwrap());
    simulated.etcd.renew(lease.id).await.unwrap();
    let next = simulated.environment.timeout(LONG, watch.next()).await;
    let Some(Some(Ok(WatchUpdate::CompleteTo(complete)))) = next else {
        panic!("the watch does not report progress: {next:?}");
    };
    assert_eq!(complete, from);
    simulated.server.faults().compact();
    let stale = simulated.etcd.watch(&all, Revision::new(1)).await;
    let error = match stale {
        Ok(mut watch) => watch.next().await.unwrap().unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), RegistryErrorKind::Compacted);
}

#[tokio::test(start_paused = true)]
async fn a_full_storage_takes_no_claims() {
    let simulated = Simulated::begin().await;
    let lease = simulated.grant().await;
    simulated.server.faults().fill(true);
    let error = simulated.claim(&lease, "a").await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::NoSpace);
    let error = simulated.etcd.grant(TTL).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::NoSpace);
    simulated.etcd.renew(lease.id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_user_gets_a_new_token_when_one_expires() {
    let server = MemoryEtcd::builder().seed(7).user("u", "p").build();
    let simulated = Simulated::with(server, "u:p@").await;
    let lease = simulated.grant().await;
    assert!(simulated.claim(&lease, "a").await.unwrap());
    simulated.server.faults().expire_tokens();
    assert!(simulated.claim(&lease, "b").await.unwrap());
    let stranger = simulated.endpoint.replace("u:p@", "u:q@");
    let refused = Etcd::connect(&simulated.environment, &stranger).await;
    let error = refused.err().map(|error| error.kind());
    assert_eq!(error, Some(RegistryErrorKind::Auth));
}
