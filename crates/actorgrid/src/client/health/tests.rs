//! Tests of peers in states that tests of the public API cannot create.

use std::time::Duration;

use super::Health;
use crate::address::Address;
use crate::client::Client;
use crate::environment::{Environment, Simulation, Socket};
use crate::registry::MemoryRegistry;

const ALIVE: Duration = Duration::from_secs(60);

/// Accepts connections, answers on the first of them that it serves, and freezes a minute later:
/// its kernel continues to accept connections.
async fn freezing(environment: &Environment) -> Address {
    let listening = "127.0.0.1:0".parse().unwrap();
    let mut listener = environment.listen(listening).await.unwrap();
    let address = listener.local_addr().unwrap().try_into().unwrap();
    let clock = environment.clone();
    environment.spawn(async move {
        let socket: Socket = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        let response = http::Response::builder().header("content-type", "application/grpc");
        let mut stream = respond
            .send_response(response.body(()).unwrap(), false)
            .unwrap();
        let serving: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
        stream.send_data(serving.into(), false).unwrap();
        // It answers probes only while it is polled.
        assert!(clock.timeout(ALIVE, connection.accept()).await.is_none());
        let mut taken = Vec::new();
        loop {
            taken.push(listener.accept().await.unwrap());
        }
    });
    address
}

#[tokio::test(start_paused = true)]
async fn a_frozen_peer_is_noticed_within_nine_seconds() {
    let environment = Simulation::new(1).environment();
    let registry = MemoryRegistry::new(&environment);
    let address = freezing(&environment).await;
    let peer = address.peer_name().clone();
    let key = format!("test.peer.{peer}");
    let value = crate::registry::write(&key, &address, &[], Some(1), None);
    registry.overwrite(&key, value);
    let client = Client::builder("test", registry.registry())
        .environment(environment.clone())
        .build();
    let mut watch = client.watch_health(&peer).unwrap();
    assert_eq!(watch.next().await, Some(Health::Serving));
    let frozen = environment.now() + ALIVE;
    assert_eq!(watch.next().await, Some(Health::Unreachable));
    let noticed = environment.now();
    assert!(noticed > frozen && noticed <= frozen + Duration::from_secs(9));
}
