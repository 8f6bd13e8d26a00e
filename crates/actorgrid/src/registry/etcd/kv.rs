//! Calls on keys: claims, raises, releases and reads.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::Uri;

use super::etcd::Etcd;
use super::exchange::{ExchangeFailure, Headed, MAX_MESSAGE_BYTES, Repetition};
use super::status::Meaning;
use super::transport::EtcdTransport;
use super::txn;
use crate::registry::{
    Claim, ClaimBatch, ClaimOutcome, Entry, LeaseId, Listing, RaiseOutcome, RegistryError,
    RegistryErrorKind,
};
use crate::revision::Revision;
use crate::wire::etcd::kv_client::KvClient;
use crate::wire::etcd::{RangeRequest, RangeResponse, ResponseHeader, TxnRequest, TxnResponse};

/// The number of keys in one page of a listing. A registration takes about 200 bytes.
const PAGE_KEYS: i64 = 1000;
/// The minimum width of a transaction: a server that allows less is of no use.
const MIN_WIDTH: usize = 8;

impl Headed for TxnResponse {
    fn header(&self) -> Option<&ResponseHeader> {
        self.header.as_ref()
    }
}

impl Headed for RangeResponse {
    fn header(&self) -> Option<&ResponseHeader> {
        self.header.as_ref()
    }
}

fn client(transport: EtcdTransport, origin: Uri) -> KvClient<EtcdTransport> {
    KvClient::with_origin(transport, origin).max_decoding_message_size(MAX_MESSAGE_BYTES)
}

impl Etcd {
    async fn txn(
        &self,
        repeat: Repetition,
        txn: &TxnRequest,
    ) -> Result<TxnResponse, ExchangeFailure> {
        let send = |transport, origin, request| -> futures_core::future::BoxFuture<'static, _> {
            Box::pin(async move {
                let reply = client(transport, origin).txn(request).await?;
                Ok(reply.into_inner())
            })
        };
        self.cluster.exchange(repeat, txn, send).await
    }

    async fn range(&self, range: &RangeRequest) -> Result<RangeResponse, ExchangeFailure> {
        let send = |transport, origin, request| -> futures_core::future::BoxFuture<'static, _> {
            Box::pin(async move {
                let reply = client(transport, origin).range(request).await?;
                Ok(reply.into_inner())
            })
        };
        self.cluster.exchange(Repetition::Read, range, send).await
    }

    /// Makes claims in one transaction as far as etcd's limit allows. If one of several
    /// transactions fails, the others may have been carried out: then the outcome of the whole
    /// batch is unknown.
    pub(super) async fn claim_batch(
        &self,
        batch: &ClaimBatch,
    ) -> Result<Vec<ClaimOutcome>, RegistryError> {
        if txn::has_duplicates(batch) {
            return Err(RegistryError::new(
                RegistryErrorKind::Unavailable,
                "a batch of claims contains a key twice",
            ));
        }
        let mut outcomes = Vec::with_capacity(batch.claims.len());
        while outcomes.len() < batch.claims.len() {
            let rest = &batch.claims[outcomes.len()..];
            let width = self.width.load(Ordering::Relaxed);
            let chunk = &rest[..txn::fitting(batch.guard.as_ref(), rest, width)];
            match self.claim_chunk(batch, chunk).await {
                Ok(more) => outcomes.extend(more),
                Err(failure) if self.narrow(&failure, width) => {}
                Err(failure)
                    if outcomes.is_empty()
                        || failure.error.kind() == RegistryErrorKind::LeaseNotFound =>
                {
                    return Err(failure.error);
                }
                Err(failure) => return Err(in_doubt(&failure.error)),
            }
        }
        Ok(outcomes)
    }

    async fn claim_chunk(
        &self,
        batch: &ClaimBatch,
        claims: &[Claim],
    ) -> Result<Vec<ClaimOutcome>, ExchangeFailure> {
        let txn = txn::claims(batch.lease, batch.guard.as_ref(), claims);
        match self.txn(Repetition::Never, &txn).await {
            Ok(reply) => txn::outcomes(reply, batch.guard.is_some(), claims).map_err(unsettled),
            Err(failure) if failure.meaning == Meaning::NoSpace => {
                self.settle(batch, claims, failure).await
            }
            Err(failure) => Err(failure),
        }
    }

    /// Determines the outcome of claims to which etcd replied "no space": the transaction that
    /// fills the storage is carried out nevertheless. It has been by now, or never will be.
    async fn settle(
        &self,
        batch: &ClaimBatch,
        claims: &[Claim],
        failure: ExchangeFailure,
    ) -> Result<Vec<ClaimOutcome>, ExchangeFailure> {
        let keys = claims.iter().flat_map(|claim| &claim.puts);
        let epoch = batch.guard.as_ref().map(|guard| &guard.epoch);
        let keys: Vec<String> = keys.map(|(key, _)| key).chain(epoch).cloned().collect();
        let read = self.get_keys(&keys).await;
        let read = read.map_err(|error| unsettled(in_doubt(&error)))?;
        settled(batch, claims, read).ok_or(failure)
    }

    /// After "too many operations", assumes that etcd allows half the width. Returns whether to
    /// retry.
    fn narrow(&self, failure: &ExchangeFailure, width: usize) -> bool {
        let narrows = failure.meaning == Meaning::TooManyOperations && width > MIN_WIDTH;
        if narrows {
            tracing::debug!(width, "etcd allows fewer operations in a transaction");
            self.width.fetch_min(width / 2, Ordering::Relaxed);
        }
        narrows
    }

    pub(super) async fn raise_key(
        &self,
        epoch: &str,
        created: Revision,
        lease: LeaseId,
        value: Bytes,
    ) -> Result<RaiseOutcome, RegistryError> {
        let txn = txn::raise(epoch, created, lease, &value);
        let reply = match self.txn(Repetition::Never, &txn).await {
            Ok(reply) => reply,
            Err(failure) if failure.meaning == Meaning::NoSpace => {
                return self
                    .raised_without_space(epoch, created, failure.error)
                    .await;
            }
            Err(failure) => return Err(failure.error),
        };
        if reply.succeeded {
            return txn::revision(&reply).map(RaiseOutcome::Raised);
        }
        let found = txn::entries(reply.responses)?;
        Ok(RaiseOutcome::Refused(found.into_iter().next().flatten()))
    }

    /// Determines the outcome of a raise to which etcd replied "no space": it was carried out if it
    /// filled the storage, and otherwise never will be.
    async fn raised_without_space(
        &self,
        epoch: &str,
        created: Revision,
        error: RegistryError,
    ) -> Result<RaiseOutcome, RegistryError> {
        let keys = [epoch.to_owned()];
        let read = self.get_keys(&keys).await;
        let found = read.map_err(|error| in_doubt(&error))?;
        Ok(match found.into_iter().next().flatten() {
            Some(entry) if entry.created == created => RaiseOutcome::NoSpace {
                modified: entry.modified,
                error,
            },
            other => RaiseOutcome::Refused(other),
        })
    }

    pub(super) async fn release_key(
        &self,
        key: &str,
        created: Revision,
    ) -> Result<bool, RegistryError> {
        let txn = txn::release(key, created);
        let reply = self.txn(Repetition::Never, &txn).await.map_err(changed)?;
        Ok(reply.succeeded)
    }

    /// Reads keys at one revision: in one transaction, or in several that specify the revision.
    pub(super) async fn get_keys(
        &self,
        keys: &[String],
    ) -> Result<Vec<Option<Entry>>, RegistryError> {
        let mut found = Vec::with_capacity(keys.len());
        let mut revision = None;
        while found.len() < keys.len() {
            let rest = &keys[found.len()..];
            let width = self.width.load(Ordering::Relaxed);
            let txn = txn::reads(&rest[..rest.len().min(width)], revision);
            match self.txn(Repetition::Read, &txn).await {
                Ok(reply) => {
                    if revision.is_none() {
                        revision = Some(txn::revision(&reply)?);
                    }
                    let read = txn::entries(reply.responses)?;
                    if read.len() != rest.len().min(width) {
                        return Err(overtaken());
                    }
                    found.extend(read);
                }
                Err(failure) if self.narrow(&failure, width) => {}
                Err(failure) => return Err(read_error(failure)),
            }
        }
        Ok(found)
    }

    /// Reads keys as they are when their transaction is carried out, at whichever member does so.
    pub(super) async fn peek_keys(
        &self,
        keys: &[String],
    ) -> Result<Vec<Option<Entry>>, RegistryError> {
        let mut found = Vec::with_capacity(keys.len());
        while found.len() < keys.len() {
            let rest = &keys[found.len()..];
            let width = self.width.load(Ordering::Relaxed);
            let part = &rest[..rest.len().min(width)];
            match self.txn(Repetition::Read, &txn::peeks(part)).await {
                Ok(reply) => {
                    let read = txn::entries(reply.responses)?;
                    if read.len() != part.len() {
                        return Err(overtaken());
                    }
                    found.extend(read);
                }
                Err(failure) if self.narrow(&failure, width) => {}
                Err(failure) => return Err(read_error(failure)),
            }
        }
        Ok(found)
    }

    /// Lists the keys from `key` up to but excluding `range_end`, or `key` alone if `range_end` is
    /// empty. Reads in pages, all at the revision of the first page.
    pub(super) async fn list_range(
        &self,
        (mut key, range_end): (Bytes, Bytes),
    ) -> Result<Listing, RegistryError> {
        let mut entries = Vec::new();
        let mut revision = None;
        loop {
            let range = RangeRequest {
                key,
                range_end: range_end.clone(),
                limit: PAGE_KEYS,
                revision: txn::read_at(revision),
                serializable: false,
            };
            let page = self.range(&range).await.map_err(read_error)?;
            let of_page = || page.header.as_ref().map(txn::revision_of);
            let first = revision.or_else(of_page).ok_or_else(overtaken)?;
            revision = Some(first);
            let next = page.kvs.last().map(|last| after(&last.key));
            entries.extend(page.kvs.into_iter().filter_map(txn::entry));
            match next {
                Some(next) if page.more => key = next,
                _ => {
                    return Ok(Listing {
                        entries,
                        revision: first,
                    });
                }
            }
        }
    }
}

/// Returns the first key with a prefix, and the first key after all keys with it.
pub(super) fn range_of(prefix: &str) -> (Bytes, Bytes) {
    // As start and end, this means all keys to etcd.
    let zero = || Bytes::from_static(b"\0");
    let mut end = prefix.as_bytes().to_vec();
    // UTF-8 text contains no byte 255, so the last byte can be incremented.
    match end.last_mut() {
        Some(last) => *last = last.saturating_add(1),
        None => return (zero(), zero()),
    }
    (Bytes::copy_from_slice(prefix.as_bytes()), end.into())
}

/// Returns the range of one single key, as etcd expects it.
pub(super) fn only(key: &str) -> (Bytes, Bytes) {
    (Bytes::copy_from_slice(key.as_bytes()), Bytes::new())
}

/// Returns the first key after another.
fn after(key: &[u8]) -> Bytes {
    [key, b"\0"].concat().into()
}

/// Determines the outcomes of claims from the entries of their keys, followed by the entry of the
/// epoch if there is a guard. Returns `None` if nothing was put.
fn settled(
    batch: &ClaimBatch,
    claims: &[Claim],
    read: Vec<Option<Entry>>,
) -> Option<Vec<ClaimOutcome>> {
    let mut read = read.into_iter();
    let found: Vec<Vec<Option<Entry>>> = claims
        .iter()
        .map(|claim| read.by_ref().take(claim.puts.len()).collect())
        .collect();
    let epoch = read.next().flatten();
    let outcome = |(claim, found): (&Claim, Vec<Option<Entry>>)| {
        let mut pairs = claim.puts.iter().zip(&found);
        // Values contain a nonce, and all keys of a claim are put together.
        let won = pairs.find_map(|((_, value), entry)| {
            let entry = entry.as_ref()?;
            let ours = entry.lease == Some(batch.lease) && entry.value == *value;
            ours.then_some(entry.created)
        });
        match won {
            Some(revision) => ClaimOutcome::Won { revision },
            None => ClaimOutcome::Refused {
                found,
                epoch: epoch.clone(),
            },
        }
    };
    let outcomes: Vec<_> = claims.iter().zip(found).map(outcome).collect();
    let won = |outcome: &ClaimOutcome| matches!(outcome, ClaimOutcome::Won { .. });
    outcomes.iter().any(won).then_some(outcomes)
}

/// Returns the error of a request that changes something: "no space" does not mean that the request
/// was not carried out.
fn changed(failure: ExchangeFailure) -> RegistryError {
    match failure.meaning {
        Meaning::NoSpace => in_doubt(&failure.error),
        _ => failure.error,
    }
}

fn in_doubt(error: &RegistryError) -> RegistryError {
    error.as_kind(RegistryErrorKind::Unknown)
}

fn unsettled(error: RegistryError) -> ExchangeFailure {
    ExchangeFailure {
        meaning: Meaning::Unsettled,
        error,
    }
}

fn read_error(failure: ExchangeFailure) -> RegistryError {
    match failure.error.kind() {
        // The revision was compacted between two pages.
        RegistryErrorKind::Compacted => overtaken(),
        _ => failure.error,
    }
}

fn overtaken() -> RegistryError {
    RegistryError::new(
        RegistryErrorKind::Unavailable,
        "etcd returned an incomplete read: read again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: LeaseId = LeaseId(7);

    #[test]
    fn a_range_ends_behind_its_last_key() {
        for (prefix, key, end) in [
            ("", &b"\0"[..], &b"\0"[..]),
            ("g.", b"g.", b"g/"),
            ("ä", "ä".as_bytes(), &[0xc3, 0xa5]),
        ] {
            let (first, behind) = range_of(prefix);
            assert_eq!((&*first, &*behind), (key, end), "{prefix}");
        }
        assert_eq!(after(b"a"), &b"a\0"[..]);
    }

    fn entry(key: &str, value: &'static [u8], lease: i64) -> Option<Entry> {
        Some(Entry {
            key: key.to_owned(),
            value: Bytes::from_static(value),
            created: Revision::new(4),
            modified: Revision::new(4),
            lease: Some(LeaseId(lease)),
        })
    }

    #[test]
    fn a_claim_that_filled_the_storage_is_found_by_lease_and_value() {
        let claim = |key: &str| Claim {
            puts: vec![(key.to_owned(), Bytes::from_static(b"nonce"))],
        };
        let batch = ClaimBatch {
            lease: LEASE,
            guard: None,
            claims: vec![claim("a"), claim("b")],
        };
        let settled = |a, b| settled(&batch, &batch.claims, vec![a, b]);
        let (ours, theirs) = (entry("a", b"nonce", 7), entry("b", b"nonce", 8));
        let refused = |found| ClaimOutcome::Refused {
            found: vec![found],
            epoch: None,
        };
        let won = || ClaimOutcome::Won {
            revision: Revision::new(4),
        };
        assert_eq!(settled(None, None), None);
        assert_eq!(settled(None, theirs.clone()), None);
        assert_eq!(settled(entry("a", b"earlier", 7), None), None);
        assert_eq!(
            settled(ours.clone(), theirs.clone()),
            Some(vec![won(), refused(theirs)])
        );
        assert_eq!(settled(ours, None), Some(vec![won(), refused(None)]));
    }
}
