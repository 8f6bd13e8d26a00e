//! Limits how many starts a peer carries out at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The maximum number of starts under way at once. Each holds a name and waits for the registry, or
/// runs a constructor, which may take memory and time; beyond it, the peer answers busy.
const MAX_STARTS: usize = 256;

/// The starts that are under way on a peer, over all its sessions. A start counts until its actor
/// is constructed or its name is free again, even if its caller no longer waits.
#[derive(Debug, Default)]
pub(in crate::server) struct StartBudget {
    under_way: AtomicUsize,
}

impl StartBudget {
    /// Acquires a permit for one start. Returns `None` while too many starts are under way.
    pub(in crate::server) fn take(self: &Arc<Self>) -> Option<StartPermit> {
        let one_more = |starts: usize| (starts < MAX_STARTS).then_some(starts + 1);
        // Relaxed: no other memory depends on this counter.
        let taken = self
            .under_way
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.is_ok().then(|| self.permit())
    }

    /// Acquires a permit for a start of the leader, beyond the limit: there is only one such start
    /// at a time, and other starts must not keep the grid from having its leader.
    pub(in crate::server) fn take_for_leader(self: &Arc<Self>) -> StartPermit {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.permit()
    }

    pub(in crate::server) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    fn permit(self: &Arc<Self>) -> StartPermit {
        StartPermit {
            budget: self.clone(),
            given_back: AtomicBool::new(false),
        }
    }
}

/// Counts a start as under way until it is given back or dropped.
#[derive(Debug)]
pub(in crate::server) struct StartPermit {
    budget: Arc<StartBudget>,
    given_back: AtomicBool,
}

impl StartPermit {
    /// Ends the count of a start that has succeeded, although others may still hold its permit.
    pub(super) fn give_back(&self) {
        if !self.given_back.swap(true, Ordering::Relaxed) {
            self.budget.under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for StartPermit {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_run_out_and_each_is_returned_once() {
        let budget = Arc::<StartBudget>::default();
        let mut permits: Vec<_> = (0..MAX_STARTS).map_while(|_| budget.take()).collect();
        assert_eq!(
            (permits.len(), budget.under_way()),
            (MAX_STARTS, MAX_STARTS)
        );
        assert!(budget.take().is_none());
        // The leader always gets a permit.
        permits.push(budget.take_for_leader());
        permits.pop();
        assert!(budget.take().is_none());
        // A permit that is given back and then dropped is returned once.
        let given_back = permits.pop().unwrap();
        given_back.give_back();
        given_back.give_back();
        assert_eq!(budget.under_way(), MAX_STARTS - 1);
        drop(given_back);
        assert_eq!(budget.under_way(), MAX_STARTS - 1);
        assert!(budget.take().is_some());
        drop(permits);
        assert_eq!(budget.under_way(), 0);
    }
}
