//! Builds transactions and reads their replies. Pure.

use bytes::Bytes;

use crate::registry::{
    Claim, ClaimBatch, ClaimOutcome, Entry, Guard, LeaseId, RegistryError, RegistryErrorKind,
};
use crate::revision::Revision;
use crate::wire::etcd::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::wire::etcd::request_op::Request;
use crate::wire::etcd::response_op::Response;
use crate::wire::etcd::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RequestOp, ResponseHeader,
    ResponseOp, TxnRequest, TxnResponse,
};

/// The maximum width of a transaction, unless a server's flag says otherwise. The width is the
/// greatest number of compares, or of operations of a branch; those of the outer transaction and of
/// its widest inner one are added.
pub(super) const MAX_WIDTH: usize = 128;

fn compare(key: &str, target: CompareTarget, union: TargetUnion) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        target_union: Some(union),
    }
}

/// An absent key has the create revision [`Revision::ZERO`].
fn created_at(key: &str, revision: Revision) -> Compare {
    let union = TargetUnion::CreateRevision(revision.get());
    compare(key, CompareTarget::Create, union)
}

fn epoch_unchanged(guard: &Guard) -> Compare {
    let union = TargetUnion::ModRevision(guard.modified.get());
    compare(&guard.epoch, CompareTarget::Mod, union)
}

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

fn range(key: &str) -> RequestOp {
    op(Request::RequestRange(RangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..RangeRequest::default()
    }))
}

fn put(key: &str, value: &Bytes, lease: LeaseId) -> RequestOp {
    op(Request::RequestPut(PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: value.clone(),
        lease: lease.0,
    }))
}

/// Returns how to ask etcd for a read at a revision, or at the current one.
pub(super) fn read_at(revision: Option<Revision>) -> i64 {
    revision.map_or(0, Revision::get)
}

/// Reads keys, all at one revision: the given one, or the current one.
pub(super) fn reads(keys: &[String], revision: Option<Revision>) -> TxnRequest {
    let range = |key: &String| {
        op(Request::RequestRange(RangeRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            revision: read_at(revision),
            ..RangeRequest::default()
        }))
    };
    TxnRequest {
        success: keys.iter().map(range).collect(),
        ..TxnRequest::default()
    }
}

/// Reads keys as the queried member knows them.
pub(super) fn peeks(keys: &[String]) -> TxnRequest {
    let range = |key: &String| {
        op(Request::RequestRange(RangeRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            serializable: true,
            ..RangeRequest::default()
        }))
    };
    TxnRequest {
        success: keys.iter().map(range).collect(),
        ..TxnRequest::default()
    }
}

/// Puts a key again if it was created at a revision; otherwise reads it.
pub(super) fn raise(key: &str, created: Revision, lease: LeaseId, value: &Bytes) -> TxnRequest {
    TxnRequest {
        compare: vec![created_at(key, created)],
        success: vec![put(key, value, lease)],
        failure: vec![range(key)],
    }
}

/// Deletes a key if it was created at a revision.
pub(super) fn release(key: &str, created: Revision) -> TxnRequest {
    let delete = DeleteRangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
    };
    TxnRequest {
        compare: vec![created_at(key, created)],
        success: vec![op(Request::RequestDeleteRange(delete))],
        failure: vec![],
    }
}

/// Makes claims in one transaction, which compares the guard once and contains a transaction for
/// each claim. Each transaction that refuses reads the keys and the epoch.
///
/// A single claim needs no inner transaction. This matters when etcd's storage is full: etcd 3.4
/// does not check whether inner transactions would store anything, and lets them pass.
pub(super) fn claims(lease: LeaseId, guard: Option<&Guard>, claims: &[Claim]) -> TxnRequest {
    if let [claim] = claims {
        let mut txn = claim_txn(lease, guard, claim);
        txn.compare.extend(guard.map(epoch_unchanged));
        return txn;
    }
    let keys = claims.iter().flat_map(|claim| &claim.puts);
    let inner = |claim| op(Request::RequestTxn(claim_txn(lease, guard, claim)));
    TxnRequest {
        compare: guard.map(epoch_unchanged).into_iter().collect(),
        success: claims.iter().map(inner).collect(),
        failure: match guard {
            Some(guard) => keys
                .map(|(key, _)| range(key))
                .chain([range(&guard.epoch)])
                .collect(),
            None => vec![],
        },
    }
}

fn claim_txn(lease: LeaseId, guard: Option<&Guard>, claim: &Claim) -> TxnRequest {
    let keys = || claim.puts.iter().map(|(key, _)| key);
    let puts = claim.puts.iter();
    let epoch = guard.map(|guard| range(&guard.epoch));
    TxnRequest {
        compare: keys().map(|key| created_at(key, Revision::ZERO)).collect(),
        success: puts.map(|(key, value)| put(key, value, lease)).collect(),
        failure: keys().map(|key| range(key)).chain(epoch).collect(),
    }
}

/// Returns the width of the transaction that [`claims`] builds.
fn width(guard: Option<&Guard>, claims: &[Claim]) -> usize {
    let read = usize::from(guard.is_some());
    let keys: usize = claims.iter().map(|claim| claim.puts.len()).sum();
    if claims.len() == 1 {
        return keys + read;
    }
    let most = claims.iter().map(|claim| claim.puts.len()).max();
    let outer = if read == 1 { keys + read } else { claims.len() };
    outer + most.unwrap_or_default() + read
}

/// Returns how many of the claims, from the first on, fit into one transaction: at least one.
pub(super) fn fitting(guard: Option<&Guard>, claims: &[Claim], limit: usize) -> usize {
    let fits = |count: &usize| width(guard, &claims[..*count]) <= limit;
    (1..=claims.len()).take_while(fits).last().unwrap_or(1)
}

/// Whether a key is in several claims, or twice in one. etcd would refuse that too, but it cannot
/// see across the transactions of a batch that needs several.
pub(super) fn has_duplicates(batch: &ClaimBatch) -> bool {
    let mut seen = std::collections::HashSet::new();
    let mut keys = batch.claims.iter().flat_map(|claim| &claim.puts);
    !keys.all(|(key, _)| seen.insert(key))
}

/// Returns the revision that a transaction has created or seen.
pub(super) fn revision(reply: &TxnResponse) -> Result<Revision, RegistryError> {
    let header = reply.header.as_ref();
    header.map(revision_of).ok_or_else(|| malformed("a header"))
}

pub(super) fn revision_of(header: &ResponseHeader) -> Revision {
    Revision::new(header.revision)
}

/// Reads the reply to [`claims`].
pub(super) fn outcomes(
    reply: TxnResponse,
    guarded: bool,
    claims: &[Claim],
) -> Result<Vec<ClaimOutcome>, RegistryError> {
    let revision = revision(&reply)?;
    if let [claim] = claims {
        return Ok(vec![outcome(reply, revision, guarded, claim)?]);
    }
    if reply.succeeded {
        if reply.responses.len() != claims.len() {
            return Err(malformed("one reply for each claim"));
        }
        let inner = reply.responses.into_iter().zip(claims);
        return inner
            .map(|(answer, claim)| match answer.response {
                Some(Response::ResponseTxn(reply)) => outcome(reply, revision, guarded, claim),
                _ => Err(malformed("a transaction for a claim")),
            })
            .collect();
    }
    let mut found = entries(reply.responses)?.into_iter();
    let mut refused = Vec::with_capacity(claims.len());
    for claim in claims {
        let keys: Vec<_> = found.by_ref().take(claim.puts.len()).collect();
        refused.push(keys);
    }
    // The epoch is read last.
    let epoch = found.next().ok_or_else(|| malformed("every key"))?;
    let refused = refused.into_iter().map(|found| ClaimOutcome::Refused {
        found,
        epoch: epoch.clone(),
    });
    Ok(refused.collect())
}

fn outcome(
    reply: TxnResponse,
    revision: Revision,
    guarded: bool,
    claim: &Claim,
) -> Result<ClaimOutcome, RegistryError> {
    if reply.succeeded {
        return Ok(ClaimOutcome::Won { revision });
    }
    let mut found = entries(reply.responses)?;
    if found.len() != claim.puts.len() + usize::from(guarded) {
        return Err(malformed("every key"));
    }
    let epoch = if guarded { found.pop().flatten() } else { None };
    Ok(ClaimOutcome::Refused { found, epoch })
}

/// Reads the replies to reads of single keys, in order.
pub(super) fn entries(answers: Vec<ResponseOp>) -> Result<Vec<Option<Entry>>, RegistryError> {
    let entry_of = |answer: ResponseOp| match answer.response {
        Some(Response::ResponseRange(range)) => Ok(range.kvs.into_iter().next().and_then(entry)),
        _ => Err(malformed("a read of a key")),
    };
    answers.into_iter().map(entry_of).collect()
}

/// Converts a key of etcd. Returns `None` if its name is not text, so it cannot be one of ours.
pub(super) fn entry(kv: KeyValue) -> Option<Entry> {
    Some(Entry {
        key: text(kv.key)?,
        value: kv.value,
        created: Revision::new(kv.create_revision),
        modified: Revision::new(kv.mod_revision),
        lease: (kv.lease != 0).then_some(LeaseId(kv.lease)),
    })
}

/// Returns the name of a key. A foreign key whose name is not text is reported and skipped.
pub(super) fn text(key: Bytes) -> Option<String> {
    match String::from_utf8(key.into()) {
        Ok(key) => Some(key),
        Err(error) => {
            let key = String::from_utf8_lossy(error.as_bytes());
            tracing::warn!(%key, "skipping a key of etcd that is not text");
            None
        }
    }
}

/// Creates the error for a malformed reply, after which the outcome is unknown.
fn malformed(missing: &str) -> RegistryError {
    RegistryError::new(
        RegistryErrorKind::Unknown,
        format!("etcd's reply does not contain {missing}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::etcd::RangeResponse;

    const LEASE: LeaseId = LeaseId(7);

    fn claim(keys: &[&str]) -> Claim {
        let put = |key: &&str| ((*key).to_owned(), Bytes::copy_from_slice(key.as_bytes()));
        Claim {
            puts: keys.iter().map(put).collect(),
        }
    }

    fn guard() -> Guard {
        Guard {
            epoch: "epoch".to_owned(),
            modified: Revision::new(5),
        }
    }

    fn kv(key: &'static str) -> KeyValue {
        KeyValue {
            key: Bytes::from_static(key.as_bytes()),
            create_revision: 3,
            mod_revision: 4,
            version: 2,
            value: Bytes::new(),
            lease: 0,
        }
    }

    fn held(key: &str) -> Option<Entry> {
        Some(Entry {
            key: key.to_owned(),
            value: Bytes::new(),
            created: Revision::new(3),
            modified: Revision::new(4),
            lease: None,
        })
    }

    fn answer(response: Response) -> ResponseOp {
        ResponseOp {
            response: Some(response),
        }
    }

    fn read(kv: Option<KeyValue>) -> ResponseOp {
        answer(Response::ResponseRange(RangeResponse {
            kvs: kv.into_iter().collect(),
            ..RangeResponse::default()
        }))
    }

    fn reply(succeeded: bool, responses: Vec<ResponseOp>) -> TxnResponse {
        TxnResponse {
            header: Some(ResponseHeader {
                revision: 9,
                ..ResponseHeader::default()
            }),
            succeeded,
            responses,
        }
    }

    /// Returns the width that etcd checks against its limit.
    fn counted(txn: &TxnRequest) -> usize {
        let width = txn.compare.len().max(txn.success.len());
        let inner = txn.success.iter().map(|op| match &op.request {
            Some(Request::RequestTxn(inner)) => counted(inner),
            _ => 0,
        });
        width.max(txn.failure.len()) + inner.max().unwrap_or_default()
    }

    #[test]
    fn a_batch_is_cut_where_etcd_would_refuse_it() {
        for (keys, guarded, fitting_128) in [
            (1, true, 125),
            (2, true, 62),
            (4, true, 30),
            (4, false, 124),
        ] {
            let names: Vec<String> = (0..keys).map(|key| key.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let all = vec![claim(&names); 300];
            let guard = guarded.then(guard);
            let count = fitting(guard.as_ref(), &all, MAX_WIDTH);
            assert_eq!(count, fitting_128, "{keys}");
            for count in [1, count, count + 1] {
                let txn = claims(LEASE, guard.as_ref(), &all[..count]);
                assert_eq!(width(guard.as_ref(), &all[..count]), counted(&txn));
                assert_eq!(counted(&txn) <= MAX_WIDTH, count <= fitting_128);
            }
            // A single claim is sent alone, however wide it is.
            assert_eq!(fitting(guard.as_ref(), &all, 1), 1);
        }
        assert_eq!(fitting(Some(&guard()), &[claim(&["a"])], MAX_WIDTH), 1);
    }

    #[test]
    fn a_claim_compares_all_its_keys_and_the_guard_holds_for_all() {
        let batch = [claim(&["a", "b"]), claim(&["c"])];
        let txn = claims(LEASE, Some(&guard()), &batch);
        assert_eq!(txn.compare, [epoch_unchanged(&guard())]);
        assert_eq!(txn.failure, ["a", "b", "c", "epoch"].map(range));
        let Some(Request::RequestTxn(first)) = &txn.success[0].request else {
            panic!("{:?}", txn.success[0]);
        };
        assert_eq!(
            first.compare,
            [
                created_at("a", Revision::ZERO),
                created_at("b", Revision::ZERO)
            ]
        );
        let value = |key: &'static str| Bytes::from_static(key.as_bytes());
        let puts = ["a", "b"].map(|key| put(key, &value(key), LEASE));
        assert_eq!(first.success, puts);
        assert_eq!(first.failure, ["a", "b", "epoch"].map(range));

        let txn = claims(LEASE, None, &batch);
        assert_eq!((txn.compare.len(), txn.failure.len()), (0, 0));

        let txn = claims(LEASE, Some(&guard()), &batch[1..]);
        assert_eq!(
            txn.compare,
            [created_at("c", Revision::ZERO), epoch_unchanged(&guard())]
        );
        assert_eq!(txn.success, [put("c", &value("c"), LEASE)]);
        assert_eq!(txn.failure, ["c", "epoch"].map(range));
    }

    #[test]
    fn reads_every_outcome() {
        let batch = [claim(&["a", "b"]), claim(&["c"])];
        let inner =
            |succeeded, responses| answer(Response::ResponseTxn(reply(succeeded, responses)));
        let lost = || {
            inner(
                false,
                vec![read(None), read(Some(kv("b"))), read(Some(kv("epoch")))],
            )
        };
        let refused = ClaimOutcome::Refused {
            found: vec![None, held("b")],
            epoch: held("epoch"),
        };
        let answers = reply(true, vec![lost(), inner(true, vec![])]);
        let won = ClaimOutcome::Won {
            revision: Revision::new(9),
        };
        assert_eq!(outcomes(answers, true, &batch), Ok(vec![refused, won]));

        // The guard did not hold.
        let reads = [Some(kv("a")), None, None, Some(kv("epoch"))].map(read);
        let expected = [vec![held("a"), None], vec![None]].map(|found| ClaimOutcome::Refused {
            found,
            epoch: held("epoch"),
        });
        let answers = reply(false, reads.into());
        assert_eq!(outcomes(answers, true, &batch), Ok(expected.to_vec()));

        // A single claim has no inner transaction.
        let answers = reply(false, vec![read(Some(kv("c"))), read(Some(kv("epoch")))]);
        let refused = |epoch| ClaimOutcome::Refused {
            found: vec![held("c")],
            epoch,
        };
        let outcome = outcomes(answers, true, &batch[1..]);
        assert_eq!(outcome, Ok(vec![refused(held("epoch"))]));
        // Without a guard there is no epoch to read.
        let answers = reply(false, vec![read(Some(kv("c")))]);
        let outcome = outcomes(answers, false, &batch[1..]);
        assert_eq!(outcome, Ok(vec![refused(None)]));
        let outcome = outcomes(reply(true, vec![]), false, &batch[1..]);
        assert_eq!(
            outcome,
            Ok(vec![ClaimOutcome::Won {
                revision: Revision::new(9)
            }])
        );
    }

    #[test]
    fn a_malformed_reply_leaves_a_doubt() {
        let batch = [claim(&["a"]), claim(&["b"])];
        let txn = |succeeded, responses| answer(Response::ResponseTxn(reply(succeeded, responses)));
        for (answers, count) in [
            (TxnResponse::default(), 2),
            (reply(true, vec![]), 2),
            (reply(true, vec![read(None), read(None)]), 2),
            (reply(false, vec![read(None), read(None)]), 2),
            (reply(true, vec![txn(false, vec![]), txn(true, vec![])]), 2),
            (reply(false, vec![]), 1),
            (reply(false, vec![read(None)]), 1),
            (reply(false, vec![read(None), txn(true, vec![])]), 1),
        ] {
            let error = outcomes(answers.clone(), true, &batch[..count]).unwrap_err();
            assert!(error.may_have_executed(), "{answers:?}");
        }
    }

    #[test]
    fn finds_keys_that_occur_twice() {
        let batch = |claims: &[Claim]| ClaimBatch {
            lease: LEASE,
            guard: None,
            claims: claims.to_vec(),
        };
        assert!(!has_duplicates(&batch(&[
            claim(&["a", "b"]),
            claim(&["c"])
        ])));
        assert!(has_duplicates(&batch(&[claim(&["a", "b"]), claim(&["b"])])));
        assert!(has_duplicates(&batch(&[claim(&["a", "a"])])));
    }

    #[test]
    fn a_key_that_is_not_text_is_skipped() {
        let foreign = KeyValue {
            key: Bytes::from_static(b"\xff"),
            ..kv("")
        };
        assert_eq!(entry(foreign), None);
    }
}
