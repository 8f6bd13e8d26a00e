//! How many starts a peer carries out at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Starts under way at once. Each holds a name and waits for the registry, or runs a constructor,
/// which may take memory and time; a peer that is asked for more answers busy.
const MAX_STARTS: usize = 256;

/// The starts that are under way on a peer, over all its sessions. A start counts until its
/// actor is constructed or its name is free again, also when nobody waits for it any more.
#[derive(Debug, Default)]
pub(in crate::server) struct StartBudget {
    under_way: AtomicUsize,
}

impl StartBudget {
    /// Takes a permit for one start; none while there are too many.
    pub(in crate::server) fn take(self: &Arc<Self>) -> Option<StartPermit> {
        let one_more = |starts: usize| (starts < MAX_STARTS).then_some(starts + 1);
        // Nothing else is read or written by it, so the order does not matter.
        let taken = self
            .under_way
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.is_ok().then(|| self.permit())
    }

    /// A start of the leader. There is one at a time, and others must not keep the grid from it.
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

/// A start that is under way, until this is given back or dropped.
#[derive(Debug)]
pub(in crate::server) struct StartPermit {
    budget: Arc<StartBudget>,
    given_back: AtomicBool,
}

impl StartPermit {
    /// The start has succeeded, though others may still hold its permit.
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
    fn it_is_used_up_and_comes_back() {
        let budget = Arc::<StartBudget>::default();
        let mut permits: Vec<_> = (0..MAX_STARTS).map_while(|_| budget.take()).collect();
        assert_eq!(
            (permits.len(), budget.under_way()),
            (MAX_STARTS, MAX_STARTS)
        );
        assert!(budget.take().is_none());
        // The leader has a place all the same.
        permits.push(budget.take_for_leader());
        permits.pop();
        assert!(budget.take().is_none());
        // Given back and dropped, it comes back once.
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
