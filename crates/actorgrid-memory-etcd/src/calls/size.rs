//! The sizes of requests that change something.

use crate::bounds::Bounds;
use crate::error::EtcdError;
use crate::store::RECORD_BYTES;
use crate::wire::PutRequest;

/// The bytes that etcd's log adds to those of a request.
const LOG_RECORD: usize = 20;

/// Fails if a request is too large for etcd's log.
pub(super) fn check_size(bounds: &Bounds, bytes: usize) -> Result<(), EtcdError> {
    if bytes + LOG_RECORD > bounds.max_request_bytes {
        return Err(EtcdError::RequestTooLarge);
    }
    Ok(())
}

/// Returns the room that a put needs at most.
pub(super) fn weight(request: &PutRequest) -> usize {
    request.key.len() + request.value.len() + RECORD_BYTES
}
