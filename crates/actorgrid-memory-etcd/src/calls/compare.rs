//! The conditions of transactions.

use std::cmp::Ordering;

use crate::store::{KeyRange, Store};
use crate::wire::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::wire::{Compare, KeyValue};

/// Whether all conditions hold.
pub(super) fn hold(store: &Store, compares: &[Compare]) -> bool {
    compares.iter().all(|compare| holds(store, compare))
}

/// Whether a condition holds for each key of its range. An absent key has zero for every number;
/// no condition on its value holds.
fn holds(store: &Store, compare: &Compare) -> bool {
    let range = KeyRange::new(&compare.key, &compare.range_end);
    let mut found = store.read(&range, store.revision()).peekable();
    if found.peek().is_none() {
        return compare.target() != CompareTarget::Value && matches(compare, &KeyValue::default());
    }
    found.all(|kv| matches(compare, kv))
}

fn matches(compare: &Compare, kv: &KeyValue) -> bool {
    // A value for another target than the one that is compared counts as none.
    let union = compare.target_union.as_ref();
    let order = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Value) => match union {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value[..].cmp(&[]),
        },
        Ok(CompareTarget::Version) => kv.version.cmp(&match union {
            Some(TargetUnion::Version(version)) => *version,
            _ => 0,
        }),
        Ok(CompareTarget::Create) => kv.create_revision.cmp(&match union {
            Some(TargetUnion::CreateRevision(revision)) => *revision,
            _ => 0,
        }),
        Ok(CompareTarget::Mod) => kv.mod_revision.cmp(&match union {
            Some(TargetUnion::ModRevision(revision)) => *revision,
            _ => 0,
        }),
        Ok(CompareTarget::Lease) => kv.lease.cmp(&match union {
            Some(TargetUnion::Lease(lease)) => *lease,
            _ => 0,
        }),
        Err(_) => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => order.is_eq(),
        Ok(CompareResult::NotEqual) => order.is_ne(),
        Ok(CompareResult::Greater) => order.is_gt(),
        Ok(CompareResult::Less) => order.is_lt(),
        Err(_) => true,
    }
}
