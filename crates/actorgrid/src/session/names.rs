//! Claims the names of actors and mailboxes.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::claim_driver::OrderSender;
use super::claim_error::ClaimError;
use super::claim_event::{ClaimOrder, MAX_NAMES};
use super::claim_place::ClaimPlace;
use super::fence::Fence;
use super::held_claim::HeldClaim;
use super::identity::Identity;
use super::on_free::OnFree;
use crate::name::Name;
use crate::registry::{Kind, TimedRegistry, keys, write};
use crate::revision::Revision;
use crate::token::Token;

/// Claims names for a session. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    core: Arc<NamesCore>,
}

#[derive(Debug)]
struct NamesCore {
    registry: TimedRegistry,
    identity: Identity,
    fence: Arc<Fence>,
    token: Token,
    orders: OrderSender,
}

impl Names {
    pub(super) fn new(
        registry: TimedRegistry,
        identity: Identity,
        fence: Arc<Fence>,
        token: Token,
        orders: OrderSender,
    ) -> Self {
        Self {
            core: Arc::new(NamesCore {
                registry,
                identity,
                fence,
                token,
                orders,
            }),
        }
    }

    pub(crate) fn fence(&self) -> &Arc<Fence> {
        &self.core.fence
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.core.identity
    }

    /// Returns the token of the peer and its mailbox.
    pub(crate) fn token(&self) -> Token {
        self.core.token
    }

    /// Returns the token of names that were registered at this revision.
    pub(crate) fn token_at(&self, revision: Revision) -> Token {
        Token::new(self.core.token.cluster(), revision)
    }

    /// Returns the registry, with the time limit of one exchange.
    pub(crate) fn timed_registry(&self) -> TimedRegistry {
        self.core.registry.clone()
    }

    /// Claims names together: all of them or none. `reservation` keeps them from being claimed
    /// again on this peer. It is dropped when they are free again, or were not won.
    ///
    /// Takes at most [`MAX_NAMES`] names: no lease is guaranteed to ever have room for more.
    ///
    /// Cancel safe: if this future is dropped, the names of the claim are released.
    pub(crate) async fn claim(
        &self,
        names: &[(Kind, &Name)],
        place: ClaimPlace,
        reservation: impl Send + Sync + 'static,
    ) -> Result<HeldClaim, ClaimError> {
        debug_assert!(
            names.len() <= MAX_NAMES,
            "claims of at most {MAX_NAMES} names"
        );
        let nonce = self.core.registry.environment().random_u64();
        let puts = names
            .iter()
            .map(|(kind, name)| {
                let key = keys::of(&self.core.identity.namespace, *kind, name);
                let Identity { address, link, .. } = &self.core.identity;
                let value = write(&key, address, &[], Some(nonce), *link);
                (key, value)
            })
            .collect();
        let (waiter, answer) = oneshot::channel();
        let order = ClaimOrder {
            nonce,
            puts,
            place,
            waiter,
            reservation: OnFree::dropping(reservation),
        };
        if self.core.orders.send(order).await.is_err() {
            return Err(ClaimError::Fenced);
        }
        // The claim driver answers every order unless it is aborted with its session.
        answer.await.unwrap_or(Err(ClaimError::Fenced))
    }
}
