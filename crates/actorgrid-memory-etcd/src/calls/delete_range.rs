//! Deletions.

use prost::Message as _;

use super::size::check_size;
use crate::error::EtcdError;
use crate::state::EtcdState;
use crate::store::{KeyRange, Write};
use crate::wire::{DeleteRangeRequest, DeleteRangeResponse, ResponseHeader};

/// Deletes a range of keys.
pub(crate) fn delete_range(
    state: &mut EtcdState,
    request: &DeleteRangeRequest,
) -> Result<DeleteRangeResponse, EtcdError> {
    check_delete_range(request)?;
    check_size(&state.bounds, request.encoded_len())?;
    let mut write = state.store.write();
    let mut response = carry_out(&mut write, request);
    write.commit();
    response.header = Some(state.header());
    Ok(response)
}

/// Fails if a request is malformed.
pub(super) fn check_delete_range(request: &DeleteRangeRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        return Err(EtcdError::EmptyKey);
    }
    Ok(())
}

pub(super) fn carry_out(
    write: &mut Write<'_>,
    request: &DeleteRangeRequest,
) -> DeleteRangeResponse {
    let deleted = write.delete_range(&KeyRange::new(&request.key, &request.range_end));
    DeleteRangeResponse {
        header: Some(ResponseHeader {
            revision: write.revision(),
            ..ResponseHeader::default()
        }),
        deleted: i64::try_from(deleted.len()).unwrap_or(i64::MAX),
        prev_kvs: if request.prev_kv { deleted } else { Vec::new() },
    }
}
