//! The clients that have links to a server, so that a newer link of one takes the place of the
//! older.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::route::link::{ClientIdentity, LinkError};

/// The open links of a server, by their clients: as many as there are connections.
#[derive(Debug, Default)]
pub(super) struct LinkClients {
    links: Mutex<HashMap<[u8; 16], OpenLink>>,
}

#[derive(Debug)]
struct OpenLink {
    generation: u64,
    orders: ReplaceOrders,
}

/// How a link learns that a newer one takes its place, and how that one learns that this has
/// happened.
#[derive(Debug, Clone, Default)]
pub(super) struct ReplaceOrders {
    /// Read nothing more.
    pub(super) replaced: CancellationToken,
    /// Nothing more is read.
    pub(super) stopped: CancellationToken,
}

/// The place of a link among those of its server. Dropped, it is free.
#[derive(Debug)]
pub(super) struct ClientPlace {
    clients: Arc<LinkClients>,
    identity: ClientIdentity,
    pub(super) orders: ReplaceOrders,
}

impl LinkClients {
    /// Takes the place for a new link, once the client's older link, if there is one, reads nothing
    /// more. That link's task does so at once.
    ///
    /// # Errors
    ///
    /// The client has a link of this generation or a newer one.
    pub(super) async fn take_place(
        self: &Arc<Self>,
        identity: ClientIdentity,
    ) -> Result<ClientPlace, LinkError> {
        let orders = ReplaceOrders::default();
        let older = {
            let mut links = self.lock();
            let older = links.get(&identity.id);
            if older.is_some_and(|older| older.generation >= identity.generation) {
                return Err(LinkError::Generation);
            }
            let link = OpenLink {
                generation: identity.generation,
                orders: orders.clone(),
            };
            links.insert(identity.id, link)
        };
        let place = ClientPlace {
            clients: Arc::clone(self),
            identity,
            orders,
        };
        if let Some(older) = older {
            older.orders.replaced.cancel();
            older.orders.stopped.cancelled().await;
        }
        Ok(place)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 16], OpenLink>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        self.orders.stopped.cancel();
        let mut links = self.clients.lock();
        let own = links.get(&self.identity.id);
        if own.is_some_and(|own| own.generation == self.identity.generation) {
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
}
