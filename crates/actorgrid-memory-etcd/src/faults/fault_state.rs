//! The faults that are switched on.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::call_fault::CallFault;
use super::call_kind::CallKind;

/// The faults that are switched on, and those that wait for their calls.
///
/// Not limited: only tests inject faults, one at a time.
#[derive(Debug, Default)]
pub(crate) struct FaultState {
    queued: BTreeMap<CallKind, VecDeque<CallFault>>,
    calls: BTreeMap<CallKind, u64>,
    /// How much later than due leases end.
    pub(crate) late_expiry: Duration,
    /// Whether renewals are answered and not carried out.
    pub(crate) false_renewals: bool,
    /// How far the revisions in headers lag behind.
    pub(crate) header_lag: i64,
    /// The cluster that headers name instead of the own one.
    pub(crate) foreign_cluster: Option<u64>,
    /// Whether watches deliver no changes.
    pub(crate) muted: bool,
    /// How many messages of changes are still swallowed.
    pub(crate) swallowed_messages: u64,
    /// Whether the storage is full.
    pub(crate) full: bool,
}

impl FaultState {
    pub(crate) fn inject(&mut self, kind: CallKind, fault: CallFault) {
        self.queued.entry(kind).or_default().push_back(fault);
    }

    /// Counts a call, and returns its fault.
    pub(crate) fn next(&mut self, kind: CallKind) -> Option<CallFault> {
        *self.calls.entry(kind).or_default() += 1;
        self.queued.get_mut(&kind)?.pop_front()
    }

    pub(crate) fn calls(&self, kind: CallKind) -> u64 {
        self.calls.get(&kind).copied().unwrap_or_default()
    }

    /// Switches every fault off.
    pub(crate) fn heal(&mut self) {
        *self = Self {
            calls: std::mem::take(&mut self.calls),
            ..Self::default()
        };
    }

    /// Whether a message of changes is to be swallowed.
    pub(crate) fn swallows_message(&mut self) -> bool {
        if self.swallowed_messages > 0 {
            self.swallowed_messages -= 1;
            return true;
        }
        self.muted
    }
}
