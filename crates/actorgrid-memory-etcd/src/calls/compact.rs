//! Compaction.

use crate::error::EtcdError;
use crate::state::EtcdState;
use crate::wire::{CompactionRequest, CompactionResponse};

/// Forgets the history before a revision.
pub(crate) fn compact(
    state: &mut EtcdState,
    request: &CompactionRequest,
) -> Result<CompactionResponse, EtcdError> {
    state.store.compact(request.revision)?;
    Ok(CompactionResponse {
        header: Some(state.header()),
    })
}
