//! Puts.

use bytes::Bytes;
use prost::Message as _;

use super::size::{check_size, weight};
use crate::error::EtcdError;
use crate::state::EtcdState;
use crate::store::{Store, Write};
use crate::wire::{PutRequest, PutResponse, ResponseHeader};

/// Puts a key.
pub(crate) fn put(state: &mut EtcdState, request: &PutRequest) -> Result<PutResponse, EtcdError> {
    check_put(request)?;
    check_size(&state.bounds, request.encoded_len())?;
    state.check_room(1, weight(request))?;
    // In this order, and in a transaction in the other one.
    check_lease(&state.store, request)?;
    check_kept(&state.store, request)?;
    let mut write = state.store.write();
    let mut response = carry_out(&mut write, request);
    write.commit();
    response.header = Some(state.header());
    Ok(response)
}

/// Fails if a request is malformed.
pub(super) fn check_put(request: &PutRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        return Err(EtcdError::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(EtcdError::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(EtcdError::LeaseProvided);
    }
    Ok(())
}

/// Fails if the key that a put keeps a part of does not exist.
pub(super) fn check_kept(store: &Store, request: &PutRequest) -> Result<(), EtcdError> {
    if (request.ignore_value || request.ignore_lease) && store.get(&request.key).is_none() {
        return Err(EtcdError::KeyNotFound);
    }
    Ok(())
}

/// Fails if the lease of a put does not exist.
pub(super) fn check_lease(store: &Store, request: &PutRequest) -> Result<(), EtcdError> {
    if request.lease != 0 && !store.has_lease(request.lease) {
        return Err(EtcdError::LeaseNotFound);
    }
    Ok(())
}

/// Carries out a put whose key and lease were checked.
pub(super) fn carry_out(write: &mut Write<'_>, request: &PutRequest) -> PutResponse {
    let before = write.store().get(&request.key).cloned();
    let kept = before.as_ref();
    let value = match request.ignore_value {
        true => kept.map_or_else(Bytes::new, |kv| kv.value.clone()),
        false => request.value.clone(),
    };
    let lease = match request.ignore_lease {
        true => kept.map_or(0, |kv| kv.lease),
        false => request.lease,
    };
    write.put(&request.key, value, lease);
    PutResponse {
        header: Some(ResponseHeader {
            revision: write.revision(),
            ..ResponseHeader::default()
        }),
        prev_kv: before.filter(|_| request.prev_kv),
    }
}
