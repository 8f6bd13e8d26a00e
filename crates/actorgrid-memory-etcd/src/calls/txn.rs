//! Transactions.

use prost::Message as _;

use super::compare::hold;
use super::size::{check_size, weight};
use super::txn_check::{check_overlaps, check_txn};
use super::{delete_range, put, range};
use crate::error::EtcdError;
use crate::state::EtcdState;
use crate::store::{Store, Write};
use crate::wire::request_op::Request;
use crate::wire::response_op::Response;
use crate::wire::{RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse};

/// Carries out a transaction, whose conditions are decided before anything is changed.
pub(crate) fn txn(state: &mut EtcdState, request: &TxnRequest) -> Result<TxnResponse, EtcdError> {
    check_txn(request, state.bounds.max_txn_ops)?;
    check_overlaps(request)?;
    let puts = puts(request);
    check_size(&state.bounds, request.encoded_len())?;
    if puts.count > 0 {
        state.check_room(puts.count, puts.bytes)?;
    }
    let path = decide(&state.store, request);
    check_each(&state.store, request, &path)?;
    let mut write = state.store.write();
    let mut response = carry_out(&mut write, request, &path);
    write.commit();
    response.header = Some(state.header());
    Ok(response)
}

/// The decisions about a transaction and those nested in it.
struct Path {
    succeeded: bool,
    /// One for each nested transaction of the branch, in order.
    nested: Vec<Path>,
}

impl Path {
    fn branch<'a>(&self, txn: &'a TxnRequest) -> &'a [RequestOp] {
        match self.succeeded {
            true => &txn.success,
            false => &txn.failure,
        }
    }
}

fn decide(store: &Store, txn: &TxnRequest) -> Path {
    let succeeded = hold(store, &txn.compare);
    let mut path = Path {
        succeeded,
        nested: Vec::new(),
    };
    let nested = path.branch(txn).iter();
    let nested = nested.filter_map(|operation| match &operation.request {
        Some(Request::RequestTxn(txn)) => Some(decide(store, txn)),
        _ => None,
    });
    path.nested = nested.collect();
    path
}

/// Fails at the first operation that will be carried out and cannot be.
fn check_each(store: &Store, txn: &TxnRequest, path: &Path) -> Result<(), EtcdError> {
    let mut nested = path.nested.iter();
    for operation in path.branch(txn) {
        match &operation.request {
            Some(Request::RequestPut(put)) => {
                put::check_kept(store, put)?;
                put::check_lease(store, put)?;
            }
            Some(Request::RequestRange(range)) => check_revision(store, range.revision)?,
            Some(Request::RequestTxn(txn)) => {
                if let Some(path) = nested.next() {
                    check_each(store, txn, path)?;
                }
            }
            Some(Request::RequestDeleteRange(_)) | None => {}
        }
    }
    Ok(())
}

/// Fails if the revision of a read is not readable. Unlike for a read outside of transactions, a
/// negative one is not always the current one.
fn check_revision(store: &Store, revision: i64) -> Result<(), EtcdError> {
    if revision > store.revision() {
        return Err(EtcdError::FutureRevision);
    }
    if revision != 0 && revision < store.compacted() {
        return Err(EtcdError::Compacted);
    }
    Ok(())
}

/// Carries out a transaction whose parts were checked.
fn carry_out(write: &mut Write<'_>, txn: &TxnRequest, path: &Path) -> TxnResponse {
    let mut nested = path.nested.iter();
    let mut responses = Vec::with_capacity(path.branch(txn).len());
    for operation in path.branch(txn) {
        let response = match &operation.request {
            Some(Request::RequestRange(range)) => {
                // Its revision was checked, and is not compacted meanwhile.
                let read = range::read(write.store(), write.revision(), range);
                Some(Response::ResponseRange(read.unwrap_or_default()))
            }
            Some(Request::RequestPut(put)) => {
                Some(Response::ResponsePut(put::carry_out(write, put)))
            }
            Some(Request::RequestDeleteRange(delete)) => {
                let deleted = delete_range::carry_out(write, delete);
                Some(Response::ResponseDeleteRange(deleted))
            }
            Some(Request::RequestTxn(txn)) => nested
                .next()
                .map(|path| Response::ResponseTxn(carry_out(write, txn, path))),
            None => None,
        };
        responses.push(ResponseOp { response });
    }
    TxnResponse {
        header: Some(ResponseHeader::default()),
        succeeded: path.succeeded,
        responses,
    }
}

/// The puts that a transaction might carry out.
#[derive(Debug, Clone, Copy, Default)]
struct Puts {
    count: usize,
    bytes: usize,
}

fn puts(txn: &TxnRequest) -> Puts {
    let mut all = Puts::default();
    for operation in txn.success.iter().chain(&txn.failure) {
        let puts = match &operation.request {
            Some(Request::RequestPut(put)) => Puts {
                count: 1,
                bytes: weight(put),
            },
            Some(Request::RequestTxn(txn)) => puts(txn),
            _ => continue,
        };
        all.count += puts.count;
        all.bytes += puts.bytes;
    }
    all
}
