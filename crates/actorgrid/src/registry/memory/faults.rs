//! The queue of injected faults, and the count of calls.

use std::collections::{HashMap, VecDeque};

use super::fault::MemoryFault;
use super::operation::MemoryOperation;

/// The injected faults that wait for their calls, and the number of calls.
///
/// Not limited: only tests inject faults, one at a time.
#[derive(Debug, Default)]
pub(super) struct Faults {
    queued: HashMap<MemoryOperation, VecDeque<MemoryFault>>,
    calls: HashMap<MemoryOperation, u64>,
}

impl Faults {
    pub(super) fn inject(&mut self, operation: MemoryOperation, fault: MemoryFault) {
        self.queued.entry(operation).or_default().push_back(fault);
    }

    pub(super) fn next(&mut self, operation: MemoryOperation) -> Option<MemoryFault> {
        self.queued.get_mut(&operation)?.pop_front()
    }

    pub(super) fn count(&mut self, operation: MemoryOperation) {
        *self.calls.entry(operation).or_default() += 1;
    }

    pub(super) fn calls(&self, operation: MemoryOperation) -> u64 {
        self.calls.get(&operation).copied().unwrap_or_default()
    }
}
