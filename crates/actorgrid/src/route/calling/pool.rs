//! The connections of a client, by peer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::peer::Peer;
use super::peer_route::PeerRoute;
use super::pool_core::{ConnectionCounters, PoolConfig, PoolCore};
use crate::address::Address;
use crate::environment::Environment;
use crate::error::RequestError;
use crate::registry::Capabilities;

/// The number of peers that are remembered: every peer of a grid of a thousand. A further one
/// replaces the least recently used.
const MAX_PEERS: usize = 1024;
/// The processes that are remembered of one address: the present one, and those that names were
/// cached of before it. They must not disturb the connections to each other.
const MAX_PROCESSES: usize = 4;

/// The connections of a client to peers, opened when first needed.
///
/// Dropping the pool ends them at once, as [`close`](Self::close) does; then every route fails.
pub(crate) struct Pool {
    shared: Arc<PoolCore>,
    /// The processes at each address.
    peers: Mutex<HashMap<Address, Vec<Arc<Peer>>>>,
    clock: AtomicU64,
}

impl Pool {
    pub(crate) fn new(environment: Environment, config: PoolConfig) -> Self {
        let shared = PoolCore::new(environment, config);
        Self {
            shared: Arc::new(shared),
            peers: Mutex::default(),
            clock: AtomicU64::new(0),
        }
    }

    /// Returns the route to the peer at this address, which has these capabilities. Does not
    /// connect yet.
    pub(crate) fn route(&self, address: &Address, capabilities: Capabilities) -> PeerRoute {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut peers = lock(&self.peers);
        if peers.len() >= MAX_PEERS && !peers.contains_key(address) {
            let all = peers.values().flatten();
            all.for_each(|peer| peer.note_uses(now));
            let oldest = peers
                .iter()
                .min_by_key(|(_, processes)| processes.iter().map(last_asked).max())
                .map(|(address, _)| address.clone());
            // Calls in flight keep their peer until they are over.
            oldest.and_then(|address| peers.remove(&address));
        }
        let processes = match peers.get_mut(address) {
            Some(processes) => processes,
            None => peers.entry(address.clone()).or_default(),
        };
        let known = processes
            .iter()
            .find(|peer| peer.capabilities == capabilities);
        let peer = match known {
            Some(peer) => Arc::clone(peer),
            None => {
                if processes.len() >= MAX_PROCESSES {
                    let oldest = (0..)
                        .zip(&*processes)
                        .min_by_key(|(_, peer)| last_asked(peer));
                    oldest
                        .map(|(place, _)| place)
                        .map(|place| processes.swap_remove(place));
                }
                let peer = Arc::new(Peer::new(
                    Arc::clone(&self.shared),
                    address.clone(),
                    capabilities,
                ));
                processes.push(Arc::clone(&peer));
                peer
            }
        };
        drop(peers);
        peer.last_asked.store(now, Ordering::Relaxed);
        PeerRoute::new(peer)
    }

    /// Reports a connection that was lost because the pool was closed as
    /// [`ClientClosed`](RequestErrorKind::ClientClosed).
    pub(crate) fn lost_or_closed(&self, error: RequestError) -> RequestError {
        self.shared.lost_or_closed(error)
    }

    /// Whether a peer with these capabilities may be reached over a link. Takes no lock.
    pub(crate) fn may_link(&self, capabilities: Capabilities) -> bool {
        self.shared.link_client.is_some() && capabilities.link().is_some()
    }

    /// Fails if the pool is closed.
    pub(crate) fn check_open(&self) -> Result<(), RequestError> {
        match self.shared.is_closed() {
            true => Err(PoolCore::closed_error()),
            false => Ok(()),
        }
    }

    /// Waits until the pool is closed. Cancel safe.
    pub(crate) async fn closed(&self) {
        self.shared.closed.cancelled().await;
    }

    pub(crate) fn connections(&self) -> &ConnectionCounters {
        &self.shared.connections
    }

    /// Ends all connections, and waits until their tasks have ended. Calls in flight and later
    /// calls fail with `ClientClosed`. Cancel safe: a second call waits as well.
    pub(crate) async fn close(&self) {
        self.close_now();
        self.shared.tasks.ended().await;
    }

    /// Like [`close`](Self::close), without waiting.
    pub(crate) fn close_now(&self) {
        self.shared.close();
        lock(&self.peers).clear();
    }
}

fn last_asked(peer: &Arc<Peer>) -> u64 {
    peer.last_asked.load(Ordering::Relaxed)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Incarnation;
    use crate::route::link::announced_link;

    fn pool() -> Pool {
        let config = PoolConfig {
            mailbox_prefix: "test.mailbox.".to_owned(),
            max_message_bytes: 1024,
            connections_per_peer: 1,
            link_namespace: None,
        };
        Pool::new(Environment::real(), config)
    }

    #[test]
    fn remembers_the_processes_of_an_address_that_were_asked_last() {
        let pool = pool();
        let address: Address = "10.0.0.1:1".parse().unwrap();
        let process = |number| {
            let link = Some(announced_link(Incarnation::new(number)));
            Capabilities::ACTORGRID.with_link(link)
        };
        for number in 1..10 {
            pool.route(&address, process(number));
            pool.route(&address, process(1));
        }
        let peers = lock(&pool.peers);
        let mut numbers: Vec<_> = peers[&address]
            .iter()
            .map(|peer| peer.capabilities.link().unwrap().incarnation.get())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 7, 8, 9]);
    }

    #[test]
    fn remembers_the_peers_that_were_asked_last() {
        let pool = pool();
        let address =
            |i: usize| -> Address { format!("10.0.{}.{}:1", i / 250, i % 250).parse().unwrap() };
        for i in 0..=MAX_PEERS {
            pool.route(&address(i), Capabilities::ACTORGRID);
            pool.route(&address(0), Capabilities::ACTORGRID);
        }
        let peers = lock(&pool.peers);
        assert_eq!(peers.len(), MAX_PEERS);
        assert!(peers.contains_key(&address(0)));
        assert!(!peers.contains_key(&address(1)));
        assert!(peers.contains_key(&address(2)));
    }
}
