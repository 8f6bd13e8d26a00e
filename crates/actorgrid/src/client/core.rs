//! The state that the clones of a client share: all that its requests, watches and health checks
//! need.

use std::time::Duration;

use super::broadcast::FanOutTurns;
use super::counters::ClientCounters;
use super::locations::Locations;
use super::lookup_batches::LookupBatches;
use super::name_waits::NameWaits;
use super::request_ids::RequestIds;
use crate::environment::Environment;
use crate::error::{RequestError, RequestErrorKind};
use crate::name::{Name, NameError, Namespace};
use crate::registry::TimedRegistry;
use crate::route::LocalRoute;
use crate::route::calling::Pool;

/// The state that the clones of a [`Client`](crate::Client) share.
pub(super) struct ClientCore {
    /// An invalid one is reported by each call.
    pub(super) namespace: Result<Namespace, NameError>,
    /// With the time that one exchange may take.
    pub(super) registry: TimedRegistry,
    /// The deadline of requests that set none.
    pub(super) deadline: Duration,
    pub(super) pool: Pool,
    pub(super) locations: Locations,
    pub(super) name_waits: NameWaits,
    /// The reads of lookups, several at a time.
    pub(super) lookups: LookupBatches,
    /// Where the client belongs to a server: its peer, and the way to that peer's mailboxes.
    pub(super) local: Option<(Name, LocalRoute)>,
    pub(super) ids: RequestIds,
    pub(super) counters: ClientCounters,
    /// Turns for the requests of broadcasts.
    pub(super) fan_out: FanOutTurns,
}

impl ClientCore {
    pub(super) fn environment(&self) -> &Environment {
        self.registry.environment()
    }

    /// The registry for an exchange that a caller without a deadline of its own waits for.
    pub(super) fn registry_within_deadline(&self) -> TimedRegistry {
        let limit = self.registry.limit().min(self.deadline);
        self.registry.with_limit(limit)
    }

    pub(super) fn namespace(&self) -> Result<&Namespace, RequestError> {
        self.namespace.as_ref().map_err(|error| {
            let text = format!("the client's namespace: {error}");
            RequestError::refused(RequestErrorKind::InvalidName, text).caused_by(error.clone())
        })
    }
}
