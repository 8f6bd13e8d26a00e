//! Health checks: whether a peer serves now.

use super::health::Health;
use crate::client::client::Client;
use crate::environment::Deadline;
use crate::error::{Executed, RequestError};
use crate::name::IntoName;
use crate::registry::Kind;

impl Client {
    /// Asks a peer (by its name or its registration) whether it serves. This uses the standard gRPC
    /// health service, so peers of the Go library answer too.
    ///
    /// The peer's address is read from the registry each time, so that it is never outdated; to
    /// check often, [watch](Self::watch_health) the peer instead. The answer is
    /// [`Serving`](Health::Serving), [`NotServing`](Health::NotServing), or
    /// [`Unknown`](Health::Unknown) if the peer has no health service.
    ///
    /// # Errors
    ///
    /// - [`UnknownName`](crate::RequestErrorKind::UnknownName) if no such peer is registered;
    /// - [`Registry`](crate::RequestErrorKind::Registry) if the registry does not answer;
    /// - [`Unreachable`](crate::RequestErrorKind::Unreachable) and
    ///   [`ConnectionLost`](crate::RequestErrorKind::ConnectionLost) if the peer does not answer;
    /// - [`DeadlineExceeded`](crate::RequestErrorKind::DeadlineExceeded) after the client's default
    ///   deadline;
    /// - [`Unknown`](crate::RequestErrorKind::Unknown) and
    ///   [`UnexpectedReply`](crate::RequestErrorKind::UnexpectedReply) if something other than a
    ///   health service answers.
    ///
    /// A check changes nothing, so none of these errors [may have
    /// executed](RequestError::may_have_executed) anything.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn check_health(&self, peer: impl IntoName) -> Result<Health, RequestError> {
        let peer = peer
            .into_name()
            .map_err(|error| RequestError::invalid_name(&error))?;
        let core = self.core();
        let deadline = Deadline::after(core.deadline);
        let checked = async {
            core.pool.check_open()?;
            let Some(found) = core.find(Kind::Peer, &peer).await? else {
                return Err(RequestError::unknown_peer(&peer));
            };
            let route = core
                .pool
                .route(&found.address, found.capabilities)
                .into_process();
            route.check_health(deadline).await
        };
        match deadline.bound(checked).await {
            Some(Ok(status)) => Ok(status.into()),
            Some(Err(error)) => Err(error.of_nothing_executed()),
            None => Err(RequestError::deadline(Executed::No)),
        }
    }
}
