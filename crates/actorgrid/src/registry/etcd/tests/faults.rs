//! Tests of faults of etcd and of its endpoints.

use http::uri::PathAndQuery;

use super::watches::next;
use super::*;
use crate::registry::{Backend, Claim, ClaimBatch, ClaimOutcome, LeaseId, RaiseOutcome, Selector};
use crate::revision::Revision;

pub(super) const TTL: Duration = Duration::from_secs(60);
/// The shortest time limit of an exchange in the library: 2/15 of the shortest lease.
const LIMIT: Duration = Duration::from_millis(666);

fn batch(lease: LeaseId, keys: &[String], value: &Bytes) -> ClaimBatch {
    let claim = |key: &String| Claim {
        puts: vec![(key.clone(), value.clone())],
    };
    ClaimBatch {
        lease,
        guard: None,
        claims: keys.iter().map(claim).collect(),
    }
}

pub(super) fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("k{number:05}")).collect()
}

pub(super) async fn claim(etcd: &Etcd, lease: LeaseId, keys: &[String], value: &Bytes) {
    let outcomes = etcd.claim(&batch(lease, keys, value)).await.unwrap();
    assert_eq!(outcomes.len(), keys.len());
    let won = |outcome: &ClaimOutcome| matches!(outcome, ClaimOutcome::Won { .. });
    assert!(outcomes.iter().all(won));
}

async fn refused(rest: &str) -> RegistryError {
    match Etcd::connect(&Environment::real(), rest).await {
        Err(error) => error,
        Ok(_) => panic!("{rest} is accepted"),
    }
}

#[tokio::test]
async fn large_batches_and_long_lists_go_in_parts() {
    let server = EtcdServer::start_with(&["--max-txn-ops=20"]);
    let etcd = server.connect().await;
    let lease = etcd.grant(TTL).await.unwrap().id;
    let keys = numbered(2500);
    for keys in keys.chunks(500) {
        claim(&etcd, lease, keys, &Bytes::from(vec![7; 1000])).await;
    }
    let listing = etcd.list("k").await.unwrap();
    let listed: Vec<_> = listing.entries.iter().map(|entry| &entry.key).collect();
    assert_eq!(listed, keys.iter().collect::<Vec<_>>());
    let read = etcd.get(&keys[..300]).await.unwrap();
    assert!(read.iter().flatten().eq(&listing.entries[..300]));

    // All keys are deleted at one revision.
    let selector = Selector::Prefix("k".to_owned());
    let mut watch = etcd
        .watch(&selector, listing.revision.next())
        .await
        .unwrap();
    etcd.revoke(lease).await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap().unwrap().len(), keys.len());
}

#[tokio::test]
async fn a_restart_breaks_watches_and_nothing_else() {
    let mut server = EtcdServer::start();
    let etcd = server.connect().await;
    let lease = etcd.grant(TTL).await.unwrap().id;
    claim(&etcd, lease, &numbered(1), &Bytes::new()).await;
    let selector = Selector::Prefix(String::new());
    let mut watch = etcd.watch(&selector, Revision::new(1)).await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap().unwrap().len(), 1);
    server.kill();
    let error = watch.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Unavailable);
    assert!(watch.next().await.is_none());
    let error = etcd.list("").await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Unavailable);
    let error = etcd.claim(&batch(lease, &numbered(2), &Bytes::new())).await;
    assert!(!error.unwrap_err().may_have_executed());

    server.restart();
    server.connect().await;
    assert_eq!(etcd.list("").await.unwrap().entries.len(), 1);
    assert_eq!(etcd.renew(lease).await.unwrap(), TTL);
}

/// Starts three members. The first endpoint of the URL is not always the one that is used first.
async fn three() -> (Vec<EtcdServer>, Etcd) {
    let ports: Vec<[u16; 2]> = (0..3).map(|_| free_ports()).collect();
    let members = ports.iter().enumerate();
    let members = members.map(|(name, [_, peer])| format!("m{name}=http://127.0.0.1:{peer}"));
    let members = format!(
        "--initial-cluster={}",
        members.collect::<Vec<_>>().join(",")
    );
    let token = format!("--initial-cluster-token={}", ports[0][0]);
    let start = |(number, ports): (usize, &[u16; 2])| {
        let name = format!("--name=m{number}");
        EtcdServer::start_in(folder(), *ports, &[&name, &members, &token])
    };
    let servers: Vec<EtcdServer> = ports.iter().enumerate().map(start).collect();
    let endpoints: Vec<_> = servers.iter().map(EtcdServer::endpoint).collect();
    let etcd = connect(&endpoints.join(",")).await;
    (servers, etcd)
}

#[tokio::test]
async fn the_loss_of_one_of_three_endpoints_is_tolerated() {
    let (mut servers, etcd) = three().await;
    let environment = Environment::real();
    // The lost member must not be the leader: electing another takes longer than a call may.
    while environment
        .timeout(LIMIT, etcd.grant(TTL))
        .await
        .is_none_or(|granted| granted.is_err())
    {}
    let lease = etcd.grant(TTL).await.unwrap().id;
    for (frozen, number) in [(true, 0), (false, 1)] {
        etcd.cluster.endpoints.prefer(number);
        etcd.list("").await.unwrap();
        if frozen {
            servers[number].signal("-STOP");
        } else {
            servers[number].kill();
        }
        let lost = environment.now();
        // Exchanges under way when the endpoint is lost may fail; within 3 s exchanges succeed
        // again, and any election is over.
        let mut in_a_row = 0;
        while in_a_row < 20 {
            let renewal = environment.timeout(LIMIT, etcd.renew(lease)).await;
            let read = environment.timeout(LIMIT, etcd.list("")).await;
            let well = matches!((renewal, read), (Some(Ok(_)), Some(Ok(_))));
            in_a_row = if well { in_a_row + 1 } else { 0 };
            let since = environment.now().since(lost);
            assert!(
                since < Duration::from_secs(6),
                "{in_a_row} in a row after {since:?}"
            );
        }
        if frozen {
            servers[number].signal("-CONT");
            environment.sleep(Duration::from_secs(1)).await;
        }
    }
}

#[tokio::test]
async fn a_member_that_lags_is_not_taken_for_a_cluster_that_went_back() {
    let (servers, etcd) = three().await;
    let environment = Environment::real();
    let lease = loop {
        if let Some(Ok(lease)) = environment.timeout(LIMIT, etcd.grant(TTL)).await {
            break lease.id;
        }
    };
    servers[2].signal("-STOP");
    let (mut won, mut keys) = (0, numbered(10_000).into_iter());
    while won < 100 {
        let claims = batch(lease, &[keys.next().unwrap()], &Bytes::new());
        let claimed = environment.timeout(LIMIT, etcd.claim(&claims)).await;
        won += usize::from(matches!(claimed, Some(Ok(_))));
    }
    let known = etcd.cluster.history.greatest();
    servers[2].signal("-CONT");
    // The member has yet to catch up, so some of its replies are stale.
    for _ in 0..50 {
        etcd.cluster.endpoints.prefer(2);
        let _ = environment.timeout(LIMIT, etcd.renew(lease)).await;
        etcd.cluster.endpoints.prefer(2);
        let _ = environment.timeout(LIMIT, etcd.get(&numbered(1))).await;
    }
    assert!(!etcd.restored().is_cancelled());
    assert!(etcd.list("").await.unwrap().revision.get() >= known);
}

#[tokio::test]
async fn endpoints_of_two_clusters_are_refused() {
    let (one, other) = (EtcdServer::start(), EtcdServer::start());
    let first = one.connect().await;
    let second = other.connect().await;
    assert_ne!(first.cluster(), second.cluster());
    let error = refused(&format!("{},{}", one.endpoint(), other.endpoint())).await;
    assert_eq!(error.kind(), RegistryErrorKind::WrongCluster);

    // Another cluster at the address of the right one is not used.
    let ports = one.ports;
    drop(one);
    let foreign = EtcdServer::start_with(&["--initial-cluster-token=another"]);
    drop(foreign);
    let impostor = EtcdServer::start_in(folder(), ports, &["--initial-cluster-token=another"]);
    connect(&impostor.endpoint()).await;
    let error = first.grant(TTL).await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::WrongCluster);
}

#[tokio::test]
async fn an_endpoint_that_is_missing_or_hangs_is_reported_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hanging = listener.local_addr().unwrap();
    let [refusing, _] = free_ports();
    let before = Environment::real().now();
    for rest in [
        hanging.to_string(),
        format!("127.0.0.1:{refusing}"),
        format!("{hanging},127.0.0.1:{refusing}"),
    ] {
        let error = refused(&rest).await;
        assert_eq!(error.kind(), RegistryErrorKind::Unavailable, "{rest}");
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
    }
    assert!(Environment::real().now().since(before) < 3 * CONNECT_TIMEOUT);
    let server = EtcdServer::start();
    let etcd = connect(&format!(
        "{hanging},{},127.0.0.1:{refusing}",
        server.endpoint()
    ))
    .await;
    etcd.grant(TTL).await.unwrap();
}

#[tokio::test]
async fn full_storage_is_reported_and_leaves_no_doubt() {
    let server = EtcdServer::start_with(&["--quota-backend-bytes=1000000"]);
    let etcd = server.connect().await;
    let lease = etcd.grant(TTL).await.unwrap().id;
    let value = Bytes::from(vec![7; 50_000]);
    let mut won = Vec::new();
    etcd.claim(&batch(lease, &["epoch".to_owned()], &Bytes::new()))
        .await
        .unwrap();
    let keys = ["epoch".to_owned()];
    let epoch = etcd.get(&keys).await.unwrap().remove(0).unwrap();
    let error = loop {
        let key = format!("k{:03}", won.len());
        let claims = batch(lease, std::slice::from_ref(&key), &value);
        match etcd.claim(&claims).await {
            Ok(outcomes) => {
                assert!(matches!(outcomes[..], [ClaimOutcome::Won { .. }]));
                won.push(key);
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), RegistryErrorKind::NoSpace);
    assert!(!error.may_have_executed());
    let listing = etcd.list("k").await.unwrap();
    let there: Vec<_> = listing
        .entries
        .iter()
        .map(|entry| entry.key.clone())
        .collect();
    assert_eq!(there, won);
    // The outcome of a raise is known, too.
    let raise = |created| etcd.raise("epoch", created, lease, Bytes::new());
    let RaiseOutcome::NoSpace { modified, error } = raise(epoch.created).await.unwrap() else {
        panic!("the storage is not full");
    };
    assert_eq!(modified, epoch.modified);
    assert_eq!(error.kind(), RegistryErrorKind::NoSpace);
    let found = raise(epoch.created.next()).await.unwrap();
    assert_eq!(found, RaiseOutcome::Refused(Some(epoch)));
    // Leases can be renewed, and names released.
    etcd.renew(lease).await.unwrap();
    assert!(
        etcd.release(&won[0], listing.entries[0].created)
            .await
            .unwrap()
    );
}

#[derive(Clone, PartialEq, prost::Message)]
struct Texts {
    #[prost(string, tag = "1")]
    first: String,
    #[prost(string, tag = "2")]
    second: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HeadedReply {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
}

/// Makes an operator's call whose request consists of at most two texts.
async fn operate(etcd: &Etcd, path: &'static str, first: &str, second: &str) {
    let connection = etcd.cluster.endpoints.connection(0).await.unwrap();
    let mut client = tonic::client::Grpc::with_origin(connection.transport(), connection.origin());
    client.ready().await.unwrap();
    let mut request = tonic::Request::new(Texts {
        first: first.to_owned(),
        second: second.to_owned(),
    });
    if let Some(authenticator) = etcd.cluster.endpoints.authenticator() {
        authenticator
            .pass(&connection)
            .await
            .unwrap()
            .show(&mut request);
    }
    let codec = tonic_prost::ProstCodec::<Texts, HeadedReply>::default();
    let path = PathAndQuery::from_static(path);
    client.unary(request, path, codec).await.unwrap();
}

#[tokio::test]
async fn users_are_authenticated_and_again_when_their_token_is_lost() {
    let mut server = EtcdServer::start();
    let open = server.connect().await;
    // A user is accepted where none is required.
    let root = connect(&format!("root:secret@{}", server.endpoint())).await;
    root.grant(TTL).await.unwrap();
    operate(&open, "/etcdserverpb.Auth/RoleAdd", "root", "").await;
    for user in ["root", "guest"] {
        operate(&open, "/etcdserverpb.Auth/UserAdd", user, "secret").await;
    }
    operate(&open, "/etcdserverpb.Auth/UserGrantRole", "root", "root").await;
    operate(&open, "/etcdserverpb.Auth/AuthEnable", "", "").await;

    let error = open.list("").await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Auth, "{error}");
    let error = refused(&format!("root:wrong@{}", server.endpoint())).await;
    assert_eq!(error.kind(), RegistryErrorKind::Auth, "{error}");
    assert!(!error.to_string().contains("wrong@"), "{error}");

    let guest = connect(&format!("guest:secret@{}", server.endpoint())).await;
    let selector = Selector::Prefix(String::new());
    assert_eq!(
        guest.list("").await.unwrap_err().kind(),
        RegistryErrorKind::Auth
    );
    let error = guest
        .watch(&selector, Revision::new(1))
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Auth, "{error}");
    let lease = root.grant(TTL).await.unwrap().id;
    let error = guest
        .claim(&batch(lease, &numbered(1), &Bytes::new()))
        .await;
    assert_eq!(error.unwrap_err().kind(), RegistryErrorKind::Auth);
    claim(&root, lease, &numbered(1), &Bytes::new()).await;

    // etcd forgets its tokens when it is restarted.
    server.restart();
    let fresh = connect(&format!("root:secret@{}", server.endpoint())).await;
    fresh.list("").await.unwrap();
    root.watch(&selector, Revision::new(1))
        .await
        .unwrap()
        .next()
        .await
        .unwrap()
        .unwrap();
    server.restart();
    connect(&format!("root:secret@{}", server.endpoint())).await;
    // A dedicated handle works as well.
    root.dedicated().renew(lease).await.unwrap();
    root.renew(lease).await.unwrap();
    assert_eq!(root.list("").await.unwrap().entries.len(), 1);
}

#[tokio::test]
async fn a_handle_apart_shares_no_connection_and_closes_its_own() {
    let server = EtcdServer::start();
    let etcd = server.connect().await;
    let dedicated = etcd.dedicated();
    let lease = etcd.grant(TTL).await.unwrap().id;
    dedicated.renew(lease).await.unwrap();
    let ours = etcd.cluster.endpoints.connection(0).await.unwrap();
    let theirs = dedicated.cluster.endpoints.connection(0).await.unwrap();
    assert!(!Arc::ptr_eq(&ours, &theirs));

    drop(dedicated);
    let closed = async {
        while theirs.is_usable() {
            Environment::real().sleep(Duration::from_millis(5)).await;
        }
    };
    let closed = Environment::real()
        .timeout(Duration::from_secs(10), closed)
        .await;
    assert!(closed.is_some(), "its connection is still open");
    assert!(ours.is_usable());
    etcd.renew(lease).await.unwrap();
}

#[tokio::test]
async fn a_handle_apart_keeps_to_the_cluster() {
    let mut server = EtcdServer::start();
    let etcd = server.connect().await;
    let dedicated = etcd.dedicated();
    // Another cluster starts at the same address.
    let ports = server.ports;
    server.kill();
    let other = EtcdServer::start_in(folder(), ports, &["--initial-cluster-token=other"]);
    other.connect().await;
    let error = dedicated.list("").await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::WrongCluster, "{error}");
}

/// Returns how many streams of watches etcd has open.
async fn watch_streams(server: &EtcdServer) -> usize {
    metric(server, "etcd_debugging_mvcc_watch_stream_total").await
}

#[tokio::test]
async fn watches_and_renewals_that_are_dropped_leave_nothing_behind() {
    let server = EtcdServer::start();
    let etcd = server.connect().await;
    let selector = Selector::Prefix(String::new());
    let lease = etcd.grant(TTL).await.unwrap().id;
    let mut watches = Vec::new();
    for _ in 0..50 {
        watches.push(etcd.watch(&selector, Revision::new(1)).await.unwrap());
        etcd.renew(lease).await.unwrap();
    }
    assert_eq!(watch_streams(&server).await, 50);
    drop(watches);
    let gone = async {
        while watch_streams(&server).await > 0 {
            Environment::real().sleep(Duration::from_millis(20)).await;
        }
    };
    let gone = Environment::real()
        .timeout(Duration::from_secs(10), gone)
        .await;
    assert!(gone.is_some(), "{} are left", watch_streams(&server).await);
}
