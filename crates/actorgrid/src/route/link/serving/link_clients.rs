//! The clients that have links to a server. A newer link of a client replaces its older one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::route::link::{ClientIdentity, LinkError};

/// The open links of a server, by their clients: as many as there are connections.
#[derive(Debug, Default)]
pub(super) struct LinkClients {
    /// Those of each client in the order of their generations. Older ones are still there until
    /// they have ended.
    links: Mutex<HashMap<[u8; 16], Vec<OpenLink>>>,
}

#[derive(Debug)]
struct OpenLink {
    generation: u64,
    orders: ReplaceOrders,
}

/// The signals between a link and the newer link of the same client that replaces it.
#[derive(Debug, Clone, Default)]
pub(super) struct ReplaceOrders {
    /// Tells the older link to read nothing more, and to withdraw what is queued.
    pub(super) replaced: CancellationToken,
    /// The older link reads nothing more, and has nothing queued.
    pub(super) stopped: CancellationToken,
}

/// The place of a link among those of its server. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct ClientPlace {
    clients: Arc<LinkClients>,
    identity: ClientIdentity,
    pub(super) orders: ReplaceOrders,
}

impl LinkClients {
    /// Takes the place for a new link, once all older links of the client read nothing more and
    /// have nothing queued. Their tasks see to it at once. Each is waited for by itself: one that
    /// still waits may go first.
    ///
    /// # Errors
    ///
    /// The client has a link of this generation or a newer one.
    pub(super) async fn take_place(
        self: &Arc<Self>,
        identity: ClientIdentity,
    ) -> Result<ClientPlace, LinkError> {
        let orders = ReplaceOrders::default();
        let older: Vec<ReplaceOrders> = {
            let mut links = self.lock();
            let of_client = links.entry(identity.id).or_default();
            let newest = of_client.last().map(|link| link.generation);
            if newest.is_some_and(|newest| newest >= identity.generation) {
                return Err(LinkError::Generation);
            }
            let older = of_client.iter().map(|link| link.orders.clone());
            let older = older.collect();
            of_client.push(OpenLink {
                generation: identity.generation,
                orders: orders.clone(),
            });
            older
        };
        let place = ClientPlace {
            clients: Arc::clone(self),
            identity,
            orders,
        };
        for older in &older {
            older.replaced.cancel();
        }
        for older in &older {
            older.stopped.cancelled().await;
        }
        Ok(place)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 16], Vec<OpenLink>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        self.orders.stopped.cancel();
        let mut links = self.clients.lock();
        let Some(of_client) = links.get_mut(&self.identity.id) else {
            return;
        };
        of_client.retain(|link| link.generation != self.identity.generation);
        if of_client.is_empty() {
            links.remove(&self.identity.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn identity(client: u8, generation: u64) -> ClientIdentity {
        ClientIdentity {
            id: [client; 16],
            generation,
        }
    }

    #[test]
    fn a_newer_link_waits_until_the_older_one_reads_nothing_more() {
        let clients = Arc::new(LinkClients::default());
        let take = |client, generation| clients.take_place(identity(client, generation));
        let first = take(1, 5).now_or_never().unwrap().unwrap();
        assert!(take(2, 1).now_or_never().unwrap().is_ok());
        for generation in [4, 5] {
            let refused = take(1, generation).now_or_never().unwrap();
            assert_eq!(refused.err(), Some(LinkError::Generation));
        }
        let mut second = Box::pin(take(1, 6));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(first.orders.replaced.is_cancelled());
        first.orders.stopped.cancel();
        let second = second.now_or_never().unwrap().unwrap();
        drop(first);
        assert_eq!(clients.lock().len(), 1, "the newer one is still there");
        drop(second);
        assert!(clients.lock().is_empty());
    }

    #[test]
    fn a_link_that_gives_up_waiting_lets_no_newer_one_overtake_the_oldest() {
        let clients = Arc::new(LinkClients::default());
        let take = |generation| clients.take_place(identity(1, generation));
        let first = take(1).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(take(2));
        assert!(second.as_mut().now_or_never().is_none());
        let mut third = Box::pin(take(3));
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        assert!(third.as_mut().now_or_never().is_none());
        drop(third);
        let mut fourth = Box::pin(take(4));
        assert!(fourth.as_mut().now_or_never().is_none());
        first.orders.stopped.cancel();
        assert!(fourth.now_or_never().unwrap().is_ok());
        drop(first);
        assert!(clients.lock().is_empty());
    }
}
