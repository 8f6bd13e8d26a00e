//! A registry that is replaced by another cluster, and one that goes back to an earlier revision.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod world;

use std::error::Error;
use std::time::Duration;

use actorgrid::{
    ActorStart, Client, ClusterId, EchoMsg, FenceReason, Kind, MemoryFault, MemoryOperation, Name,
    RegistryError, RegistryErrorKind, RequestErrorKind, Server, ServerEvent, ServerEvents,
    ServerState,
};
use world::{MemoryWorld, Resource, echo_type, eventually, pass, secs};

/// Returns the states from now on, up to and including `last`.
async fn states_until(events: &mut ServerEvents, last: ServerState) -> Vec<ServerState> {
    let mut states = Vec::new();
    while states.last() != Some(&last) {
        let event = tokio::time::timeout(secs(60), events.next()).await;
        if let ServerEvent::StateChanged { state, reason } = event.unwrap().unwrap() {
            let changed = Some(FenceReason::ClusterChanged);
            assert_eq!(
                reason,
                matches!(state, ServerState::Fenced | ServerState::Detached)
                    .then_some(changed)
                    .flatten()
            );
            states.push(state);
        }
    }
    states
}

const FENCED: [ServerState; 3] = [
    ServerState::Fenced,
    ServerState::Rejoining,
    ServerState::Detached,
];

async fn start(server: &Server) -> Result<(), actorgrid::RequestError> {
    start_as(server, "h", "holder").await
}

async fn start_as(
    server: &Server,
    name: &str,
    actor_type: &str,
) -> Result<(), actorgrid::RequestError> {
    let start = ActorStart::new(name, actor_type);
    let started = server
        .client()
        .start(server.peer(), start)
        .deadline(secs(5));
    started.await.map(drop)
}

/// Asserts that a lookup fails with this kind of registry error.
async fn lookup_fails(client: &Client, kind: RegistryErrorKind) {
    let name = Name::new("h").unwrap();
    let error = client.find(Kind::Actor, &name).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::Registry, "{error}");
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    assert_eq!(cause.map(RegistryError::kind), Some(kind), "{error}");
}

async fn echo(client: &Client) -> Result<(), actorgrid::RequestError> {
    let request = client.request("e", EchoMsg::new("x")).deadline(secs(5));
    request.await.map(drop)
}

async fn not_followed(server: &Server, cluster: ClusterId, kind: RegistryErrorKind) {
    let error = server.follow_cluster(cluster).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_stays_out_of_another_cluster_until_it_is_followed() {
    let world = MemoryWorld::new();
    let resource = Resource::default();
    let server = world.server().actor_type(resource.holder_type("holder"));
    let server = server.actor_type(echo_type("echo"));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let mut events = server.events();
    // One client shares the registry with the server, the other one is in another process.
    let (ours, apart) = (world.client(), {
        let builder = Client::builder("test", world.registry.registry());
        builder.environment(world.environment()).build()
    });
    start(&server).await.unwrap();
    start_as(&server, "e", "echo").await.unwrap();
    echo(&ours).await.unwrap();
    let (old, begun) = (world.registry.cluster(), world::clock());
    world.registry.replace();
    let new = world.registry.cluster();
    states_until(&mut events, ServerState::Fenced).await;
    // The session renews every 3 s, and three renewals in a row must notice the other cluster.
    assert!(begun.elapsed() <= secs(5), "{:?}", begun.elapsed());
    let states = states_until(&mut events, ServerState::Detached).await;
    assert_eq!(states, FENCED[1..]);
    assert_eq!(resource.holders("h"), 0);
    assert_eq!(server.fence_reason(), Some(FenceReason::ClusterChanged));
    assert_eq!(server.statistics().sessions_fenced, 1);

    pass(secs(120)).await;
    assert_eq!(server.state(), ServerState::Detached);
    assert_eq!(world.registry.keys(), [""; 0]);
    assert_eq!(world.registry.leases(), 0);
    for client in [&ours, &apart] {
        lookup_fails(client, RegistryErrorKind::WrongCluster).await;
    }
    not_followed(&server, ClusterId(1), RegistryErrorKind::WrongCluster).await;
    // That cluster no longer exists.
    server.follow_cluster(old).await.unwrap();
    assert_eq!(server.state(), ServerState::Detached);

    server.follow_cluster(new).await.unwrap();
    server.wait_for(ServerState::Serving).await;
    start_as(&server, "e", "echo").await.unwrap();
    // The client must not use the location in the old cluster: it would be rejected and looked up
    // again.
    echo(&ours).await.unwrap();
    assert_eq!(ours.statistics().locations_forgotten, 0);
    let peer = ours.find(Kind::Peer, server.peer()).await.unwrap();
    assert_eq!(peer.unwrap().token.cluster(), new);
    lookup_fails(&apart, RegistryErrorKind::WrongCluster).await;
    server.shutdown().await.unwrap();
    assert_eq!(world.registry.keys(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_serves_in_a_cluster_that_is_left_is_fenced_at_once() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let mut events = server.events();
    world.registry.replace();
    let begun = world::clock();
    server
        .handle()
        .follow_cluster(world.registry.cluster())
        .await
        .unwrap();
    states_until(&mut events, ServerState::Serving).await;
    assert!(begun.elapsed() <= secs(2), "{:?}", begun.elapsed());
    assert_eq!(server.fence_reason(), Some(FenceReason::ClusterChanged));
    server.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_stays_out_of_a_restored_registry_until_the_process_restarts() {
    let world = MemoryWorld::new();
    let resource = Resource::default();
    let bind = async |registry| {
        let server = Server::builder("test", registry).environment(world.environment());
        let server = server.actor_type(resource.holder_type("holder"));
        server.bind("127.0.0.1:0").await.unwrap()
    };
    let server = bind(world.registry()).await;
    let mut events = server.events();
    let snapshot = world.registry.snapshot();
    start(&server).await.unwrap();
    let begun = world::clock();
    world.registry.restore(snapshot);
    states_until(&mut events, ServerState::Fenced).await;
    assert!(begun.elapsed() <= secs(1), "{:?}", begun.elapsed());
    let states = states_until(&mut events, ServerState::Detached).await;
    assert_eq!(states, FENCED[1..]);
    assert_eq!(resource.holders("h"), 0);
    let client = world.client();
    lookup_fails(&client, RegistryErrorKind::Restored).await;
    let cluster = world.registry.cluster();
    not_followed(&server, cluster, RegistryErrorKind::Restored).await;

    // After the snapshot, the same revisions are given to other names.
    let other = bind(world.registry.registry()).await;
    start(&other).await.unwrap();
    pass(secs(60)).await;
    assert_eq!(server.state(), ServerState::Detached);
    lookup_fails(&client, RegistryErrorKind::Restored).await;
    assert_eq!(resource.holders("h"), 1);
    // Once its revision exceeds the previous one, new tokens are greater than old ones.
    for _ in 0..100 {
        world.registry.overwrite("other", "");
    }
    server.follow_cluster(cluster).await.unwrap();
    server.wait_for(ServerState::Serving).await;
    client
        .find(Kind::Peer, server.peer())
        .await
        .unwrap()
        .unwrap();
    for server in [server, other] {
        server.shutdown().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_went_back_while_another_one_was_followed_is_not_followed() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let (old, snapshot) = (world.registry.cluster(), world.registry.snapshot());
    for _ in 0..100 {
        world.registry.overwrite("other", "");
    }
    world.registry.replace();
    server
        .follow_cluster(world.registry.cluster())
        .await
        .unwrap();
    server.wait_for(ServerState::Serving).await;
    let apart = world.registry.registry();
    world.registry.restore(snapshot);
    not_followed(&server, old, RegistryErrorKind::Restored).await;
    // A process that never used this cluster has nothing to compare with.
    apart.follow_cluster(old).await.unwrap();
    for _ in 0..200 {
        world.registry.overwrite("other", "");
    }
    server.follow_cluster(old).await.unwrap();
    server.wait_for(ServerState::Serving).await;
    server.shutdown().await.unwrap();
}

/// While one of the old endpoints is merely unreachable, the old cluster seems to be away, not
/// gone.
#[tokio::test(start_paused = true)]
async fn a_session_in_a_cluster_that_is_left_need_not_be_confirmed_to_have_ended() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let grants = || world.registry.calls(MemoryOperation::Grant);
    world.registry.replace();
    world.registry.set_refusing(true);
    let (before, begun) = (grants(), world::clock());
    server
        .follow_cluster(world.registry.cluster())
        .await
        .unwrap();
    eventually("the server joins the other cluster", || grants() > before).await;
    assert!(begun.elapsed() <= secs(3), "{:?}", begun.elapsed());
    world.registry.set_refusing(false);
    server.wait_for(ServerState::Serving).await;
    server.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_to_join_a_cluster_that_is_left_is_abandoned() {
    let world = MemoryWorld::new();
    let server = world.server().bind("127.0.0.1:0").await.unwrap();
    let mut events = server.events();
    let grants = || world.registry.calls(MemoryOperation::Grant);
    let before = grants();
    for _ in 0..3 {
        let refused = MemoryFault::Refuse;
        world.registry.inject(MemoryOperation::Grant, refused);
    }
    world.registry.expire_leases();
    eventually("the server tries to join", || grants() == before + 3).await;
    world.registry.set_refusing(true);
    world.registry.replace();
    server
        .follow_cluster(world.registry.cluster())
        .await
        .unwrap();
    pass(secs(5)).await;
    assert_eq!(server.state(), ServerState::Rejoining);
    world.registry.set_refusing(false);
    // It must not first make an attempt that discovers that its cluster is gone.
    let mut states = Vec::new();
    while states.last() != Some(&ServerState::Serving) {
        if let Some(ServerEvent::StateChanged { state, .. }) = events.next().await {
            states.push(state);
        }
    }
    let joined = [
        ServerState::Fenced,
        ServerState::Rejoining,
        ServerState::Serving,
    ];
    assert_eq!(states, joined);
    server.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_of_a_server_that_stays_out_reports_what_it_may_have_left() {
    for (fault, leaves) in [
        (Some(MemoryFault::LoseReply), true),
        (Some(MemoryFault::Refuse), false),
        (None, false),
    ] {
        let world = MemoryWorld::new();
        let server = world.server().bind("127.0.0.1:0").await.unwrap();
        world.registry.replace();
        server.wait_for(ServerState::Detached).await;
        if let Some(fault) = fault {
            let claims = world.registry.calls(MemoryOperation::Claim);
            world.registry.inject(MemoryOperation::Claim, fault);
            if leaves {
                let lost = MemoryFault::LoseRequest;
                world.registry.inject(MemoryOperation::Revoke, lost);
            }
            server
                .follow_cluster(world.registry.cluster())
                .await
                .unwrap();
            let has_claimed = || world.registry.calls(MemoryOperation::Claim) > claims;
            eventually("the server joins", has_claimed).await;
            assert_eq!(server.state(), ServerState::Detached);
        }
        let begun = world::clock();
        let left = server.shutdown().await;
        assert_eq!(
            left.is_err_and(|left| left.not_revoked),
            leaves,
            "{fault:?}"
        );
        assert!(leaves || begun.elapsed() < secs(1), "{:?}", begun.elapsed());
        assert_eq!(world.registry.keys().is_empty(), !leaves, "{fault:?}");
    }
}

#[cfg(feature = "etcd")]
mod etcd {
    use actorgrid::Registry;
    use testbed::{Etcd, EtcdProxy};

    use super::*;

    async fn bind(url: &str, resource: &Resource) -> Server {
        let registry = Registry::connect(url).await.unwrap();
        let server = Server::builder("test", registry);
        let server = server.actor_type(resource.holder_type("holder"));
        server.bind("127.0.0.1:0").await.unwrap()
    }

    async fn cluster_at(etcd: &Etcd) -> ClusterId {
        Registry::connect(&etcd.url()).await.unwrap().cluster()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_stays_out_of_another_cluster_and_rejoins_the_previous_one() {
        let (first, second) = (Etcd::start(), Etcd::start());
        let proxy = EtcdProxy::of(first.address());
        let resource = Resource::default();
        let server = bind(&proxy.url(), &resource).await;
        let client = Client::builder("test", Registry::connect(&proxy.url()).await.unwrap());
        let client = client.build();
        let mut events = server.events();
        start(&server).await.unwrap();
        let goes_to = |etcd: &Etcd| {
            proxy.set_server(etcd.address());
            proxy.cut();
        };
        goes_to(&second);
        assert_eq!(
            states_until(&mut events, ServerState::Detached).await,
            FENCED
        );
        assert_eq!(resource.holders("h"), 0);
        lookup_fails(&client, RegistryErrorKind::WrongCluster).await;
        // The same registry is back, with no revision lost.
        goes_to(&first);
        states_until(&mut events, ServerState::Serving).await;
        start(&server).await.unwrap();

        goes_to(&second);
        assert_eq!(
            states_until(&mut events, ServerState::Detached).await,
            FENCED
        );
        not_followed(&server, ClusterId(1), RegistryErrorKind::WrongCluster).await;
        assert_eq!(second.ctl(["get", "--prefix", "", "--keys-only"]), "");
        let new = cluster_at(&second).await;
        server.follow_cluster(new).await.unwrap();
        states_until(&mut events, ServerState::Serving).await;
        start(&server).await.unwrap();
        eventually("the holder runs", || resource.holders("h") == 1).await;
        let peer = server
            .client()
            .find(Kind::Peer, server.peer())
            .await
            .unwrap();
        assert_eq!(peer.unwrap().token.cluster(), new);
        server.shutdown().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_cluster_that_went_back_while_another_one_was_followed_is_not_followed() {
        let (mut first, second) = (Etcd::start(), Etcd::start());
        let proxy = EtcdProxy::of(first.address());
        let registry = Registry::connect(&proxy.url()).await.unwrap();
        let client = Client::new("test", registry.clone());
        let snapshot = first.snapshot();
        for _ in 0..3 {
            first.ctl(["put", "other", ""]);
        }
        client.query(Kind::Mailbox).await.unwrap();
        let (old, new) = (cluster_at(&first).await, cluster_at(&second).await);
        proxy.set_server(second.address());
        proxy.cut();
        registry.follow_cluster(new).await.unwrap();
        client.query(Kind::Mailbox).await.unwrap();
        first.restore(&snapshot);
        proxy.set_server(first.address());
        proxy.cut();
        let error = registry.follow_cluster(old).await.unwrap_err();
        assert_eq!(error.kind(), RegistryErrorKind::Restored, "{error}");
        for _ in 0..10 {
            first.ctl(["put", "other", ""]);
        }
        registry.follow_cluster(old).await.unwrap();
        client.query(Kind::Mailbox).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_stays_out_of_a_cluster_that_went_back_until_the_process_restarts() {
        let mut etcd = Etcd::start();
        let resource = Resource::default();
        let server = bind(&etcd.url(), &resource).await;
        let mut events = server.events();
        let snapshot = etcd.snapshot();
        server.wait_for(ServerState::Serving).await;
        start(&server).await.unwrap();
        let cluster = cluster_at(&etcd).await;
        etcd.restore(&snapshot);
        // It is the same cluster by its id, and the lease is still alive.
        assert_eq!(cluster_at(&etcd).await, cluster);
        assert_eq!(
            states_until(&mut events, ServerState::Detached).await,
            FENCED
        );
        assert_eq!(resource.holders("h"), 0);
        lookup_fails(server.client(), RegistryErrorKind::Restored).await;
        not_followed(&server, cluster, RegistryErrorKind::Restored).await;

        let other = bind(&etcd.url(), &resource).await;
        start(&other).await.unwrap();
        pass(Duration::from_secs(3)).await;
        assert_eq!(server.state(), ServerState::Detached);
        for server in [server, other] {
            server.shutdown().await.unwrap();
        }
    }
}
