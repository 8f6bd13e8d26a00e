//! Whether a transaction is well formed.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::delete_range::check_delete_range;
use super::put::check_put;
use super::range::check_range;
use crate::error::EtcdError;
use crate::wire::request_op::Request;
use crate::wire::{RequestOp, TxnRequest};

/// Fails if a transaction is too wide, or one of its parts is malformed. The widths of nested
/// transactions add up.
pub(super) fn check_txn(txn: &TxnRequest, max_ops: usize) -> Result<(), EtcdError> {
    let branches = txn.success.len().max(txn.failure.len());
    let width = branches.max(txn.compare.len());
    let rest = max_ops.checked_sub(width).ok_or(EtcdError::TooManyOps)?;
    if txn.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(EtcdError::EmptyKey);
    }
    let mut operations = txn.success.iter().chain(&txn.failure);
    operations.try_for_each(|operation| match &operation.request {
        Some(Request::RequestRange(range)) => check_range(range),
        Some(Request::RequestPut(put)) => check_put(put),
        Some(Request::RequestDeleteRange(delete)) => check_delete_range(delete),
        Some(Request::RequestTxn(txn)) => check_txn(txn, rest),
        None => Err(EtcdError::KeyNotFound),
    })
}

/// Fails if a branch might change a key twice.
///
/// etcd's rule has a gap, which is the same here: of two nested transactions, the later one may
/// delete what the earlier one puts.
pub(super) fn check_overlaps(txn: &TxnRequest) -> Result<(), EtcdError> {
    changes(&txn.success)?;
    changes(&txn.failure)?;
    Ok(())
}

/// The keys that a branch might change.
#[derive(Default)]
struct Changes {
    puts: BTreeSet<Bytes>,
    deletions: Vec<Deletion>,
}

/// A range that is deleted: a key and the end of the range. No end means the key alone.
struct Deletion(Bytes, Bytes);

impl Changes {
    fn put(&mut self, key: &Bytes, is_alternative: bool) -> Result<(), EtcdError> {
        let is_deleted = self.deletions.iter().any(|deletion| deletion.hits(key));
        if is_deleted || (self.puts.contains(key) && !is_alternative) {
            return Err(EtcdError::DuplicateKey);
        }
        self.puts.insert(key.clone());
        Ok(())
    }
}

impl Deletion {
    /// Whether a key is in the range. Like etcd's check, it does not know that an end of a zero
    /// byte means all keys from the first one on.
    fn hits(&self, key: &Bytes) -> bool {
        let Self(first, end) = self;
        match end.is_empty() {
            true => first == key,
            false => first <= key && key < end,
        }
    }
}

fn changes(operations: &[RequestOp]) -> Result<Changes, EtcdError> {
    let mut all = Changes::default();
    let requests = || operations.iter().filter_map(|op| op.request.as_ref());
    for request in requests() {
        if let Request::RequestDeleteRange(delete) = request {
            let deletion = Deletion(delete.key.clone(), delete.range_end.clone());
            all.deletions.push(deletion);
        }
    }
    for request in requests() {
        if let Request::RequestTxn(txn) = request {
            let (success, failure) = (changes(&txn.success)?, changes(&txn.failure)?);
            for key in &success.puts {
                all.put(key, false)?;
            }
            for key in &failure.puts {
                // Only one of the two branches is carried out.
                all.put(key, success.puts.contains(key))?;
            }
            all.deletions.extend(success.deletions);
            all.deletions.extend(failure.deletions);
        }
    }
    for request in requests() {
        if let Request::RequestPut(put) = request {
            all.put(&put.key, false)?;
        }
    }
    Ok(all)
}
