//! The state that the clones of a client share, on which its requests, watches and health checks
//! depend.

use std::time::Duration;

use super::broadcast::FanOutTurns;
use super::counters::ClientCounters;
use super::locations::Locations;
use super::lookup_batches::LookupBatches;
use super::name_turns::NameTurns;
use super::name_waits::NameWaits;
use super::request_ids::RequestIds;
use crate::environment::Environment;
use crate::error::{RequestError, RequestErrorKind};
use crate::name::{Name, NameError, Namespace};
use crate::registry::TimedRegistry;
use crate::route::LocalRoute;
use crate::route::calling::Pool;
use crate::token::Token;

/// The state that the clones of a [`Client`](crate::Client) share.
pub(super) struct ClientCore {
    /// If invalid, each call reports it.
    pub(super) namespace: Result<Namespace, NameError>,
    /// The registry, with the limit on the time of one exchange.
    pub(super) registry: TimedRegistry,
    /// The deadline of requests that set none.
    pub(super) deadline: Duration,
    pub(super) pool: Pool,
    pub(super) locations: Locations,
    pub(super) name_turns: NameTurns,
    pub(super) name_waits: NameWaits,
    /// The reads of lookups, several keys at a time.
    pub(super) lookups: LookupBatches,
    /// Set if the client belongs to a server: that server's peer, and the route to its mailboxes.
    pub(super) local: Option<(Name, LocalRoute)>,
    pub(super) ids: RequestIds,
    pub(super) counters: ClientCounters,
    /// Turns that the requests of broadcasts take.
    pub(super) fan_out: FanOutTurns,
}

impl ClientCore {
    pub(super) fn environment(&self) -> &Environment {
        self.registry.environment()
    }

    /// Returns the registry for an exchange that a caller without its own deadline waits for.
    pub(super) fn registry_within_deadline(&self) -> TimedRegistry {
        let limit = self.registry.limit().min(self.deadline);
        self.registry.with_limit(limit)
    }

    /// Forgets a location that proved wrong, unless a newer one is known.
    pub(super) fn forget_location(&self, name: &Name, token: Token) {
        if self.locations.forget(name, token) {
            self.counters.locations_forgotten.increment();
        }
    }

    pub(super) fn namespace(&self) -> Result<&Namespace, RequestError> {
        self.namespace.as_ref().map_err(|error| {
            let text = format!("the client's namespace: {error}");
            RequestError::refused(RequestErrorKind::InvalidName, text).caused_by(error.clone())
        })
    }
}
