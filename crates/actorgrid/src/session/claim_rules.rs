//! The rules of claims: how to interpret a reply of the registry, or the lack of one. Pure.

use super::fence_reason::FenceReason;
use crate::registry::{ClaimOutcome, Entry, RegistryError, RegistryErrorKind, carries};
use crate::revision::Revision;

/// The meaning of the registry's reply to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClaimVerdict {
    /// The names are ours and were registered at this revision.
    Won(Revision),
    /// Another registration holds one of the names.
    Taken(Entry),
    /// Our own raise caused the refusal: claim again, guarded by this modification revision of the
    /// epoch.
    Repeat(Revision),
    /// The epoch is no longer ours, or has an earlier revision than before: the session is over.
    Fenced,
}

/// Judges the reply to a claim that was sent under `guard`. `epoch_created` is the create revision
/// of our epoch key.
///
/// The registry reported `guard` before the claim was sent, and the modification revision of a key
/// only grows. An earlier revision means that the registry was restored from a snapshot: no claim
/// under `guard` can ever commit there, and some of our names may be missing.
pub(crate) fn judge(
    outcome: ClaimOutcome,
    epoch_created: Revision,
    guard: Revision,
    nonce: u64,
) -> ClaimVerdict {
    let (found, epoch) = match outcome {
        ClaimOutcome::Won { revision } => return ClaimVerdict::Won(revision),
        ClaimOutcome::Refused { found, epoch } => (found, epoch),
    };
    match epoch {
        Some(epoch) if epoch.created == epoch_created && epoch.modified >= guard => {
            match settle(found, nonce) {
                SettledClaim::Won(revision) => ClaimVerdict::Won(revision),
                SettledClaim::Taken(holder) => ClaimVerdict::Taken(holder),
                SettledClaim::Free => ClaimVerdict::Repeat(epoch.modified),
            }
        }
        _ => ClaimVerdict::Fenced,
    }
}

/// The outcome of a claim whose transaction can no longer commit, according to a read of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SettledClaim {
    /// The claim had committed, at this revision.
    Won(Revision),
    /// The claim had not committed, and another registration holds one of the names.
    Taken(Entry),
    /// The claim had not committed, and the names are free.
    Free,
}

/// Settles a claim by the entries found under its keys. A claim puts all its keys together, so one
/// entry with our nonce proves that it has committed.
pub(crate) fn settle(found: Vec<Option<Entry>>, nonce: u64) -> SettledClaim {
    let mut taken = None;
    for entry in found.into_iter().flatten() {
        if carries(&entry.value, nonce) {
            return SettledClaim::Won(entry.created);
        }
        taken = taken.or(Some(entry));
    }
    taken.map_or(SettledClaim::Free, SettledClaim::Taken)
}

/// The effect of an exchange that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExchangeFate {
    /// Nothing was changed.
    Unchanged,
    /// The exchange may have been carried out, or may still be.
    InDoubt,
    /// The session is over.
    Fenced(FenceReason),
}

/// Judges a failed claim or raise.
pub(crate) fn fate(error: &RegistryError) -> ExchangeFate {
    match error.kind() {
        RegistryErrorKind::LeaseNotFound => ExchangeFate::Fenced(FenceReason::LeaseLost),
        RegistryErrorKind::Restored => ExchangeFate::Fenced(FenceReason::ClusterChanged),
        RegistryErrorKind::Unknown => ExchangeFate::InDoubt,
        RegistryErrorKind::Url
        | RegistryErrorKind::Unavailable
        | RegistryErrorKind::Compacted
        | RegistryErrorKind::Auth
        | RegistryErrorKind::Tls
        | RegistryErrorKind::WrongCluster
        | RegistryErrorKind::NoSpace => ExchangeFate::Unchanged,
    }
}

/// Whether raising the epoch to `raised` settles a claim that was sent under `guard`: the epoch key
/// never has that modification revision again, so the claim can no longer commit.
pub(crate) fn settles(raised: Revision, guard: Revision) -> bool {
    raised > guard
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::value_with_nonce;

    const NONCE: u64 = 7;

    fn at(number: i64) -> Revision {
        Revision::new(number)
    }

    fn entry(created: i64, nonce: u64) -> Entry {
        Entry {
            key: "k".to_owned(),
            value: value_with_nonce(nonce),
            created: at(created),
            modified: at(created + 100),
            lease: None,
        }
    }

    fn refused(found: &[Option<Entry>], epoch: Option<Entry>) -> ClaimOutcome {
        ClaimOutcome::Refused {
            found: found.to_vec(),
            epoch,
        }
    }

    #[test]
    fn judges_every_answer() {
        let ours = Some(entry(5, 0));
        let other = entry(9, 8);
        let mine = entry(11, NONCE);
        for (outcome, verdict) in [
            (
                ClaimOutcome::Won { revision: at(3) },
                ClaimVerdict::Won(at(3)),
            ),
            (refused(&[None], None), ClaimVerdict::Fenced),
            (refused(&[None], Some(entry(6, 0))), ClaimVerdict::Fenced),
            (refused(&[Some(mine.clone())], None), ClaimVerdict::Fenced),
            (
                refused(&[Some(mine.clone())], ours.clone()),
                ClaimVerdict::Won(at(11)),
            ),
            (
                refused(&[Some(other.clone()), Some(mine.clone())], ours.clone()),
                ClaimVerdict::Won(at(11)),
            ),
            (
                refused(&[Some(other.clone())], ours.clone()),
                ClaimVerdict::Taken(other.clone()),
            ),
            (
                refused(
                    &[None, Some(other.clone()), Some(entry(1, 1))],
                    ours.clone(),
                ),
                ClaimVerdict::Taken(other.clone()),
            ),
            (
                refused(&[None, None], ours.clone()),
                ClaimVerdict::Repeat(at(105)),
            ),
        ] {
            let judged = judge(outcome.clone(), at(5), at(104), NONCE);
            assert_eq!(judged, verdict, "{outcome:?}");
        }
    }

    #[test]
    fn an_epoch_from_before_the_guard_ends_the_session() {
        let ours = Some(entry(5, 0));
        for found in [None, Some(entry(9, 8)), Some(entry(11, NONCE))] {
            let outcome = refused(&[found], ours.clone());
            let judged = |guard| judge(outcome.clone(), at(5), at(guard), NONCE);
            assert_ne!(judged(105), ClaimVerdict::Fenced, "{outcome:?}");
            assert_eq!(judged(106), ClaimVerdict::Fenced, "{outcome:?}");
        }
    }

    #[test]
    fn a_failure_leaves_no_doubt_only_where_the_registry_says_so() {
        for (kind, expected) in [
            (
                RegistryErrorKind::LeaseNotFound,
                ExchangeFate::Fenced(FenceReason::LeaseLost),
            ),
            (
                RegistryErrorKind::Restored,
                ExchangeFate::Fenced(FenceReason::ClusterChanged),
            ),
            (RegistryErrorKind::Unknown, ExchangeFate::InDoubt),
            (RegistryErrorKind::Unavailable, ExchangeFate::Unchanged),
            (RegistryErrorKind::Auth, ExchangeFate::Unchanged),
            (RegistryErrorKind::NoSpace, ExchangeFate::Unchanged),
        ] {
            assert_eq!(fate(&RegistryError::new(kind, "")), expected);
        }
    }

    #[test]
    fn only_a_later_raise_settles() {
        assert!(settles(at(6), at(5)));
        assert!(!settles(at(5), at(5)));
        assert!(!settles(at(4), at(5)));
    }
}
