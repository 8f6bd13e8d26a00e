//! Calls on leases: grant, renew, query and revoke.

use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::stream;
use tonic::{Request, Status};

use super::etcd::Etcd;
use super::exchange::{Headed, Repetition};
use super::watch::require_leader;
use crate::registry::{Lease, LeaseId, RegistryError, RegistryErrorKind};
use crate::wire::etcd::lease_client::LeaseClient;
use crate::wire::etcd::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
    ResponseHeader,
};

macro_rules! headed {
    ($($reply:ty)*) => {
        $(impl Headed for $reply {
            fn header(&self) -> Option<&ResponseHeader> {
                self.header.as_ref()
            }
        })*
    };
}

headed! { LeaseGrantResponse LeaseKeepAliveResponse LeaseRevokeResponse LeaseTimeToLiveResponse }

impl Etcd {
    pub(super) async fn grant_lease(&self, ttl: Duration) -> Result<Lease, RegistryError> {
        let reply = self.grant_response(ttl).await?;
        Ok(Lease {
            id: LeaseId(reply.id),
            ttl: seconds_of(reply.ttl),
        })
    }

    /// Grants a lease that expires soon, and returns the revision at which it was granted. That
    /// revision is up to date, as a grant goes through the log, and granting needs no permission.
    pub(super) async fn granted_at(&self) -> Result<i64, RegistryError> {
        let reply = self.grant_response(Duration::from_secs(1)).await?;
        Ok(reply.header.map_or(0, |header| header.revision))
    }

    async fn grant_response(&self, ttl: Duration) -> Result<LeaseGrantResponse, RegistryError> {
        // Round up to whole seconds.
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let request = LeaseGrantRequest {
            ttl: i64::try_from(seconds.max(1)).unwrap_or(i64::MAX),
        };
        let send = |transport, origin, request| -> BoxFuture<'static, _> {
            Box::pin(async move {
                let mut client = LeaseClient::with_origin(transport, origin);
                Ok(client.lease_grant(request).await?.into_inner())
            })
        };
        let granted = self.cluster.exchange(Repetition::Never, &request, send);
        let reply: LeaseGrantResponse = granted.await.map_err(|failure| failure.error)?;
        if !reply.error.is_empty() {
            let text = format!("etcd granted no lease: {}", reply.error);
            return Err(RegistryError::new(RegistryErrorKind::Unavailable, text));
        }
        Ok(reply)
    }

    /// Renews a lease on a separate stream, which ends with this call, so that the reply to an
    /// abandoned renewal can never be mistaken for a later one.
    pub(super) async fn renew_lease(&self, lease: LeaseId) -> Result<Duration, RegistryError> {
        let request = LeaseKeepAliveRequest { id: lease.0 };
        let send = |transport, origin, mut request: Request<LeaseKeepAliveRequest>| {
            require_leader(&mut request);
            let renewing: BoxFuture<'static, _> = Box::pin(async move {
                let request = request.map(|renewal| stream::iter([renewal]));
                let mut client = LeaseClient::with_origin(transport, origin);
                let mut replies = client.lease_keep_alive(request).await?.into_inner();
                let reply = replies.message().await?;
                reply.ok_or_else(|| Status::unavailable("the renewal was not answered"))
            });
            renewing
        };
        let renewed = self.cluster.exchange(Repetition::Safe, &request, send);
        let reply: LeaseKeepAliveResponse = renewed.await.map_err(|failure| failure.error)?;
        renewed_for(&reply, lease)
    }

    pub(super) async fn remaining_of_lease(
        &self,
        lease: LeaseId,
    ) -> Result<Option<Duration>, RegistryError> {
        let request = LeaseTimeToLiveRequest { id: lease.0 };
        let send = |transport, origin, request| -> BoxFuture<'static, _> {
            Box::pin(async move {
                let mut client = LeaseClient::with_origin(transport, origin);
                Ok(client.lease_time_to_live(request).await?.into_inner())
            })
        };
        let asked = self.cluster.exchange(Repetition::Read, &request, send);
        match asked.await {
            Ok(reply) => Ok(left(&reply)),
            Err(failure) if failure.error.kind() == RegistryErrorKind::LeaseNotFound => Ok(None),
            Err(failure) => Err(failure.error),
        }
    }

    pub(super) async fn revoke_lease(&self, lease: LeaseId) -> Result<(), RegistryError> {
        let request = LeaseRevokeRequest { id: lease.0 };
        let send = |transport, origin, request| -> BoxFuture<'static, _> {
            Box::pin(async move {
                let mut client = LeaseClient::with_origin(transport, origin);
                Ok(client.lease_revoke(request).await?.into_inner())
            })
        };
        let revoked = self.cluster.exchange(Repetition::Safe, &request, send);
        let reply: Result<LeaseRevokeResponse, _> = revoked.await;
        match reply {
            Err(failure) if failure.error.kind() != RegistryErrorKind::LeaseNotFound => {
                Err(failure.error)
            }
            _ => Ok(()),
        }
    }
}

/// Returns the time to live that a reply confirms for this lease. A reply for another lease
/// confirms nothing, and does not report that this one is gone.
fn renewed_for(reply: &LeaseKeepAliveResponse, lease: LeaseId) -> Result<Duration, RegistryError> {
    if reply.id != lease.0 {
        let text = "etcd answered the renewal of another lease";
        return Err(RegistryError::new(RegistryErrorKind::Unknown, text));
    }
    if reply.ttl <= 0 {
        let text = "the lease has expired or was revoked";
        return Err(RegistryError::new(RegistryErrorKind::LeaseNotFound, text));
    }
    Ok(seconds_of(reply.ttl))
}

/// Returns the remaining time of a lease. An expired lease that etcd has not revoked yet has no
/// time left, but still has its keys: a lease is gone only if etcd does not know that it was ever
/// granted.
fn left(reply: &LeaseTimeToLiveResponse) -> Option<Duration> {
    let gone = reply.ttl < 0 && reply.granted_ttl == 0;
    (!gone).then(|| seconds_of(reply.ttl))
}

fn seconds_of(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_is_confirmed_only_for_its_own_lease() {
        let renewed = |id, ttl| {
            let reply = LeaseKeepAliveResponse {
                header: None,
                id,
                ttl,
            };
            renewed_for(&reply, LeaseId(7)).map_err(|error| error.kind())
        };
        assert_eq!(renewed(7, 15), Ok(Duration::from_secs(15)));
        assert_eq!(renewed(7, 0), Err(RegistryErrorKind::LeaseNotFound));
        assert_eq!(renewed(7, -1), Err(RegistryErrorKind::LeaseNotFound));
        for ttl in [15, 0, -1] {
            assert_eq!(renewed(8, ttl), Err(RegistryErrorKind::Unknown));
        }
    }

    #[test]
    fn a_lease_is_gone_when_etcd_does_not_know_it() {
        for (ttl, granted_ttl, expected) in [
            (7, 15, Some(7)),
            (0, 15, Some(0)),
            (-2, 15, Some(0)),
            (-1, 0, None),
        ] {
            let reply = LeaseTimeToLiveResponse {
                ttl,
                granted_ttl,
                ..LeaseTimeToLiveResponse::default()
            };
            assert_eq!(left(&reply), expected.map(Duration::from_secs), "{ttl}");
        }
    }
}
