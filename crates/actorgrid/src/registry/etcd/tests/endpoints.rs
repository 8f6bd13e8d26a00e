//! Tests of endpoints that are late, frozen, stuck, gone or send malformed replies, in paused time.

use futures_util::future::join_all;

use super::fake::FakeEtcd;
use super::*;
use crate::environment::{Simulation, Timestamp};
use crate::registry::{Backend, LeaseId, Selector};
use crate::revision::Revision;

const LEASE: LeaseId = LeaseId(1);
/// The time limit of an exchange at the default time to live.
const LIMIT: Duration = Duration::from_secs(2);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

async fn fakes<const N: usize>(environment: &Environment) -> ([FakeEtcd; N], Etcd) {
    let fakes = join_all((0..N).map(|_| FakeEtcd::start(environment))).await;
    let endpoints: Vec<_> = fakes.iter().map(|fake| fake.endpoint.as_str()).collect();
    let etcd = Etcd::connect(environment, &endpoints.join(",")).await;
    etcd.as_ref().unwrap().cluster.endpoints.prefer(0);
    let fakes = fakes.try_into().map_err(|_| "a different number of fakes");
    (fakes.unwrap(), etcd.unwrap())
}

fn environment() -> Environment {
    Simulation::new(7).environment()
}

#[tokio::test(start_paused = true)]
async fn callers_without_patience_cost_no_connection() {
    let environment = environment();
    let (fakes, etcd) = fakes(&environment).await;
    let [fake] = &fakes;
    let dedicated = etcd.dedicated();
    dedicated.renew(LEASE).await.unwrap();
    fake.behave(|behaviour| behaviour.delay = ms(700));
    let lookups = join_all((0..1_000).map(|number| {
        let (environment, etcd) = (&environment, &etcd);
        async move {
            environment.sleep(number * ms(10)).await;
            let lookup = environment.timeout(ms(600), etcd.list("k")).await;
            assert!(lookup.is_none(), "a reply arrived too early");
        }
    }));
    let renewals = async {
        for etcd in [&dedicated, &etcd].into_iter().cycle().take(10) {
            environment.sleep(ms(300)).await;
            let renewal = environment.timeout(LIMIT, etcd.renew(LEASE)).await;
            renewal.expect("the lookups delayed a renewal").unwrap();
        }
    };
    tokio::join!(biased; lookups, renewals);
    assert_eq!(fake.accepted().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_to_connect_outlives_its_callers() {
    let environment = environment();
    let (fakes, etcd) = fakes(&environment).await;
    let [fake] = &fakes;
    let dedicated = etcd.dedicated();
    fake.behave(|behaviour| behaviour.delay = ms(700));
    for _ in 0..3 {
        let renewal = environment.timeout(ms(300), dedicated.renew(LEASE)).await;
        assert!(renewal.is_none());
    }
    let renewal = environment.timeout(ms(800), dedicated.renew(LEASE)).await;
    renewal
        .expect("the attempt was restarted each time")
        .unwrap();
    assert_eq!(fake.accepted().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_endpoint_is_given_up_and_a_slow_one_is_not() {
    let environment = environment();
    let (fakes, etcd) = fakes(&environment).await;
    let [fake] = &fakes;
    fake.behave(|behaviour| behaviour.delay = ms(30_000));
    etcd.list("").await.unwrap();
    assert_eq!(
        fake.accepted().len(),
        1,
        "the slow endpoint was reconnected"
    );
    fake.behave(|behaviour| behaviour.delay = Duration::ZERO);
    etcd.list("").await.unwrap();
    fake.behave(|behaviour| behaviour.frozen = true);
    let begin = environment.now();
    let error = etcd.list("").await.unwrap_err();
    assert!(error.to_string().contains("silent"), "{error}");
    let took = environment.now().since(begin);
    assert!(took >= ms(2_000) && took <= ms(2_250), "{took:?}");
    fake.behave(|behaviour| behaviour.frozen = false);
    etcd.list("").await.unwrap();
}

/// Makes one exchange of each kind within a time limit.
async fn all_are_answered(environment: &Environment, etcd: &Etcd, limit: Duration) {
    let none = || Vec::<String>::new();
    let renewal = environment.timeout(limit, etcd.renew(LEASE)).await;
    renewal.expect("the renewal is late").unwrap();
    let read = environment.timeout(limit, etcd.list("")).await;
    read.expect("the read is late").unwrap();
    let release = environment
        .timeout(limit, etcd.release("k", Revision::new(1)))
        .await;
    release.expect("the release is late").unwrap();
    let get = environment.timeout(limit, etcd.get(&none())).await;
    get.expect("the get is late").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_frozen_member_costs_no_exchange() {
    for begins_with_change in [false, true] {
        let environment = environment();
        let (fakes, etcd) = fakes::<3>(&environment).await;
        let [fake, ..] = &fakes;
        let selector = Selector::Prefix(String::new());
        // The connection is idle, so the freeze goes unnoticed.
        environment.sleep(ms(20_000)).await;
        fake.behave(|behaviour| behaviour.frozen = true);
        if begins_with_change {
            let release = etcd.release("k", Revision::new(1));
            let release = environment.timeout(ms(666), release).await;
            release
                .expect("the release waits for the frozen member")
                .unwrap();
        }
        all_are_answered(&environment, &etcd, ms(666)).await;
        let watch = etcd.watch(&selector, Revision::new(1));
        let watch = environment.timeout(ms(666), watch).await;
        watch.expect("the watch is late").map(drop).unwrap();
        // A new handle does not wait for the frozen member either.
        let dedicated = etcd.dedicated();
        dedicated.cluster.endpoints.prefer(0);
        all_are_answered(&environment, &dedicated, LIMIT).await;
        all_are_answered(&environment, &dedicated, ms(666)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn readers_at_a_member_that_is_stuck_get_their_answers_elsewhere() {
    let environment = environment();
    let (fakes, etcd) = fakes::<3>(&environment).await;
    let [fake, other, _] = &fakes;
    fake.behave(|behaviour| behaviour.stuck = true);
    let before = other.requests();
    let reads = (0..500).map(|_| environment.timeout(LIMIT, etcd.list("")));
    let reads = join_all(reads).await;
    let well = |read: &Option<Result<_, _>>| matches!(read, Some(Ok(_)));
    assert!(reads.iter().all(well));
    assert_eq!(other.requests() - before, 500);
    // The member answers probes, so its connection is kept, but it is no longer preferred.
    assert_eq!(fake.accepted().len(), 1);
    let before = fake.requests();
    etcd.list("").await.unwrap();
    assert_eq!(fake.requests(), before);
}

#[tokio::test(start_paused = true)]
async fn a_watch_at_a_frozen_member_breaks() {
    let environment = environment();
    let (fakes, etcd) = fakes::<3>(&environment).await;
    let [fake, ..] = &fakes;
    let selector = Selector::Prefix(String::new());
    let mut watch = etcd.watch(&selector, Revision::new(1)).await.unwrap();
    fake.behave(|behaviour| behaviour.frozen = true);
    let next = environment.timeout(ms(9_000), watch.next()).await;
    next.expect("the silent watch did not break")
        .unwrap()
        .unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_gets_a_burst_while_its_member_is_asked_breaks_and_blames_nobody() {
    for (burst, preferred) in [(17, 0), (0, 1)] {
        let environment = environment();
        let (fakes, etcd) = fakes::<3>(&environment).await;
        fakes[0].behave(|behaviour| behaviour.burst = burst);
        let selector = Selector::Prefix(String::new());
        let mut watch = etcd.watch(&selector, Revision::new(1)).await.unwrap();
        let next = environment.timeout(ms(9_000), watch.next()).await;
        let error = next.expect("the watch did not break").unwrap().unwrap_err();
        assert_eq!(error.kind(), RegistryErrorKind::Unavailable);
        assert_eq!(etcd.cluster.endpoints.order()[0], preferred, "{burst}");
        // Another watch can be opened.
        drop(etcd.watch(&selector, Revision::new(1)).await.unwrap());
    }
}

/// Returns the maximum number of connections in any second.
fn busiest_second(accepted: &[Timestamp]) -> usize {
    let within = |first: &Timestamp| {
        let end = *first + ms(1_000);
        accepted
            .iter()
            .filter(|at| *at >= first && **at < end)
            .count()
    };
    accepted.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_is_not_stormed_and_found_soon_when_it_is_back() {
    let environment = environment();
    let (fakes, etcd) = fakes(&environment).await;
    let [fake] = &fakes;
    let dedicated = etcd.dedicated();
    dedicated.renew(LEASE).await.unwrap();
    let before = fake.accepted().len();
    fake.behave(|behaviour| behaviour.refuses = true);
    for etcd in [&etcd, &dedicated] {
        etcd.cluster.endpoints.connection(0).await.unwrap().retire();
    }
    let end = environment.now() + ms(4_000);
    let ask = async |etcd: &Etcd, pause| {
        let mut failed = 0;
        while environment.now() < end {
            // The caller waits at most until the next attempt, and the outcome is not in doubt.
            let asked = environment
                .timeout(ms(666), etcd.release("k", Revision::new(1)))
                .await;
            let error = asked.expect("the caller waits too long").unwrap_err();
            assert!(!error.may_have_executed(), "{error}");
            failed += 1;
            environment.sleep(pause).await;
        }
        failed
    };
    let failed = tokio::join!(biased; ask(&etcd, ms(100)), ask(&dedicated, ms(250)));
    assert!(failed.0 > 10 && failed.1 > 7, "{failed:?}");
    let accepted = fake.accepted().split_off(before);
    assert!(accepted.len() >= 4, "the endpoint is not retried");
    assert!(busiest_second(&accepted) <= 10, "{accepted:?}");

    fake.behave(|behaviour| behaviour.refuses = false);
    let back = environment.now();
    for etcd in [&etcd, &dedicated] {
        while etcd.renew(LEASE).await.is_err() {
            environment.sleep(ms(100)).await;
        }
    }
    let took = environment.now().since(back);
    assert!(took <= ms(1_200), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn three_endpoints_that_refuse_are_not_stormed_either() {
    let environment = environment();
    let (fakes, etcd) = fakes::<3>(&environment).await;
    let dedicated = etcd.dedicated();
    for fake in &fakes {
        fake.behave(|behaviour| behaviour.refuses = true);
    }
    let begun = environment.now();
    let end = begun + ms(4_000);
    for index in 0..3 {
        for etcd in [&etcd, &dedicated] {
            if let Ok(connection) = etcd.cluster.endpoints.connection(index).await {
                connection.retire();
            }
        }
    }
    let ask = async |etcd: &Etcd| {
        while environment.now() < end {
            let asked = etcd.renew(LEASE);
            let _ = environment.timeout(ms(666), asked).await;
            environment.sleep(ms(100)).await;
        }
    };
    tokio::join!(biased; ask(&etcd), ask(&dedicated));
    let mut accepted: Vec<_> = fakes.iter().flat_map(FakeEtcd::accepted).collect();
    accepted.retain(|at| *at >= begun);
    accepted.sort();
    assert!(
        accepted.len() >= 12,
        "the endpoints are not retried: {accepted:?}"
    );
    assert!(busiest_second(&accepted) <= 10, "{accepted:?}");
}

#[tokio::test(start_paused = true)]
async fn details_that_are_no_base64_end_no_task() {
    let environment = environment();
    let fake = FakeEtcd::start(&environment).await;
    for behind in [false, true] {
        for method in [
            "Status",
            "Authenticate",
            "Range",
            "Txn",
            "LeaseGrant",
            "LeaseKeepAlive",
            "LeaseTimeToLive",
            "LeaseRevoke",
            "Watch",
        ] {
            fake.behave(|behaviour| behaviour.poisons = None);
            let rest = format!("root:secret@{}", fake.endpoint);
            let etcd = Etcd::connect(&environment, &rest).await.unwrap();
            fake.behave(|behaviour| behaviour.poisons = Some((method, behind)));
            let fresh = Etcd::connect(&environment, &rest).await;
            let refused = ["Status", "Authenticate"].contains(&method);
            assert_eq!(fresh.is_err(), refused, "{method}");
            let selector = Selector::Prefix(String::new());
            let watched = async {
                let mut watch = etcd.watch(&selector, Revision::new(1)).await?;
                let limit = environment.timeout(ms(100), watch.next()).await;
                limit.flatten().map_or(Ok(()), |update| update.map(drop))
            };
            let outcomes = [
                ("Range", etcd.list("").await.map(drop)),
                ("Txn", etcd.release("k", Revision::new(1)).await.map(drop)),
                ("LeaseGrant", etcd.grant(LIMIT).await.map(drop)),
                ("LeaseKeepAlive", etcd.renew(LEASE).await.map(drop)),
                ("LeaseTimeToLive", etcd.remaining(LEASE).await.map(drop)),
                ("LeaseRevoke", etcd.revoke(LEASE).await),
                ("Watch", watched.await),
            ];
            for (name, outcome) in outcomes {
                // A renewal reads only one message and then drops its stream.
                let hit = name == method && !(behind && name == "LeaseKeepAlive");
                assert_eq!(
                    outcome.is_err(),
                    hit,
                    "{method} {behind}: {name} {outcome:?}"
                );
            }
        }
    }
}
