//! Calls on leases. The caller has ended the leases that are due.

use std::time::Duration;

use crate::error::EtcdError;
use crate::state::EtcdState;
use crate::wire::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};

/// Grants a lease, with the id that the caller or else the server chooses.
pub(crate) fn grant(
    state: &mut EtcdState,
    now: Duration,
    request: &LeaseGrantRequest,
) -> Result<LeaseGrantResponse, EtcdError> {
    state.check_room(0, 0)?;
    if state.store.lease_count() >= state.bounds.max_leases {
        return Err(EtcdError::TooManyRequests);
    }
    let mut id = request.id;
    while id == 0 || (request.id == 0 && state.store.has_lease(id)) {
        id = state.numbers.id();
    }
    let ttl = state.store.grant(now, id, request.ttl)?;
    Ok(LeaseGrantResponse {
        header: Some(state.header()),
        id,
        ttl,
        error: String::new(),
    })
}

/// Ends a lease and deletes its keys.
pub(crate) fn revoke(
    state: &mut EtcdState,
    request: &LeaseRevokeRequest,
) -> Result<LeaseRevokeResponse, EtcdError> {
    state.store.revoke(request.id)?;
    Ok(LeaseRevokeResponse {
        header: Some(state.header()),
    })
}

/// Renews a lease. A time to live of zero in the reply means that there is none.
pub(crate) fn keep_alive(
    state: &mut EtcdState,
    now: Duration,
    request: &LeaseKeepAliveRequest,
) -> LeaseKeepAliveResponse {
    let ttl = match state.faults.false_renewals {
        true => state.store.expiry(request.id).map(|(_, ttl)| ttl),
        false => state.store.renew(now, request.id),
    };
    LeaseKeepAliveResponse {
        header: Some(state.header()),
        id: request.id,
        ttl: ttl.unwrap_or_default(),
    }
}

/// Reports how long a lease lasts, and its keys on request.
pub(crate) fn time_to_live(
    state: &mut EtcdState,
    now: Duration,
    request: &LeaseTimeToLiveRequest,
) -> LeaseTimeToLiveResponse {
    let header = Some(state.header());
    let Some((expiry, granted_ttl)) = state.store.expiry(request.id) else {
        return LeaseTimeToLiveResponse {
            header,
            id: request.id,
            ttl: -1,
            ..LeaseTimeToLiveResponse::default()
        };
    };
    let left = (expiry + state.faults.late_expiry).saturating_sub(now);
    let keys = state.store.keys_of_lease(request.id);
    LeaseTimeToLiveResponse {
        header,
        id: request.id,
        ttl: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        granted_ttl,
        keys: keys.filter(|_| request.keys).cloned().collect(),
    }
}

/// Lists the leases.
pub(crate) fn leases(state: &mut EtcdState, _: &LeaseLeasesRequest) -> LeaseLeasesResponse {
    let leases = state.store.leases();
    LeaseLeasesResponse {
        header: Some(state.header()),
        leases: leases.map(|id| LeaseStatus { id }).collect(),
    }
}
