//! Reads.

use std::cmp::Ordering;

use crate::error::EtcdError;
use crate::state::EtcdState;
use crate::store::{KeyRange, Store};
use crate::wire::range_request::{SortOrder, SortTarget};
use crate::wire::{KeyValue, RangeRequest, RangeResponse, ResponseHeader};

/// Reads a range of keys.
pub(crate) fn range(
    state: &mut EtcdState,
    request: &RangeRequest,
) -> Result<RangeResponse, EtcdError> {
    check_range(request)?;
    let current = state.store.revision();
    let mut response = read(&state.store, current, request)?;
    response.header = Some(state.header());
    Ok(response)
}

/// Fails if a request is malformed.
pub(super) fn check_range(request: &RangeRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        return Err(EtcdError::EmptyKey);
    }
    let order = SortOrder::try_from(request.sort_order);
    let target = SortTarget::try_from(request.sort_target);
    if order.is_err() || target.is_err() {
        return Err(EtcdError::InvalidSortOption);
    }
    Ok(())
}

/// Reads a range of keys. `current` is the revision of the store, with the changes of the
/// transaction that the read belongs to.
pub(super) fn read(
    store: &Store,
    current: i64,
    request: &RangeRequest,
) -> Result<RangeResponse, EtcdError> {
    let at = match request.revision {
        ..=0 => current,
        revision if revision > current => return Err(EtcdError::FutureRevision),
        revision if revision < store.compacted() => return Err(EtcdError::Compacted),
        revision => revision,
    };
    let range = KeyRange::new(&request.key, &request.range_end);
    let mut response = RangeResponse {
        header: Some(ResponseHeader {
            revision: current,
            ..ResponseHeader::default()
        }),
        ..RangeResponse::default()
    };
    if request.count_only {
        response.count = count(store.read(&range, at));
        return Ok(response);
    }
    let mut found: Vec<&KeyValue> = store.read(&range, at).collect();
    response.count = count(found.iter());
    let limit = usize::try_from(request.limit).unwrap_or_default();
    if limit > 0 && !is_filtered(request) && request.sort_order() == SortOrder::None {
        // The limit comes before the order, unless that is named.
        found.truncate(limit + 1);
    }
    found.retain(|kv| selects(request, kv));
    sort(request, &mut found);
    if limit > 0 && found.len() > limit {
        found.truncate(limit);
        response.more = true;
    }
    let kvs = found.into_iter().cloned();
    response.kvs = match request.keys_only {
        true => kvs.map(without_value).collect(),
        false => kvs.collect(),
    };
    Ok(response)
}

fn count(found: impl Iterator) -> i64 {
    i64::try_from(found.count()).unwrap_or(i64::MAX)
}

fn is_filtered(request: &RangeRequest) -> bool {
    let filters = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    filters != [0; 4]
}

fn selects(request: &RangeRequest, kv: &KeyValue) -> bool {
    let within =
        |min, max, revision| (min == 0 || revision >= min) && (max == 0 || revision <= max);
    within(
        request.min_mod_revision,
        request.max_mod_revision,
        kv.mod_revision,
    ) && within(
        request.min_create_revision,
        request.max_create_revision,
        kv.create_revision,
    )
}

/// Sorts by the target: ascending if only a target other than the key is given.
fn sort(request: &RangeRequest, found: &mut [&KeyValue]) {
    let target = request.sort_target();
    let order: fn(Ordering) -> Ordering = match (request.sort_order(), target) {
        (SortOrder::None, SortTarget::Key) => return,
        (SortOrder::Descend, _) => Ordering::reverse,
        _ => |order| order,
    };
    found.sort_by(|a, b| {
        order(match target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        })
    });
}

fn without_value(mut kv: KeyValue) -> KeyValue {
    kv.value.clear();
    kv
}
