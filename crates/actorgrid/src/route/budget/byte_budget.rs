//! The budget of a peer, as its owner holds it.

use std::fmt;
use std::sync::Arc;

use super::connection_budget::ConnectionBudget;
use super::limits::BudgetLimits;
use super::peer_budget::{PeerBudget, SourceBudget};

/// The bytes that a peer holds for its clients. Cheap to clone.
#[derive(Clone)]
pub(in crate::route) struct ByteBudget(Arc<PeerBudget>);

/// The use of a budget at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::route) struct BudgetUse {
    /// Bytes of messages that are queued.
    pub(in crate::route) queued: usize,
    /// Bytes that arriving messages have reserved.
    pub(in crate::route) arriving: usize,
}

impl ByteBudget {
    pub(in crate::route) fn new(limits: BudgetLimits) -> Self {
        Self(Arc::new(PeerBudget::new(limits)))
    }

    /// Creates the share of a source address, for all its connections.
    pub(in crate::route) fn source(&self) -> SourceBudget {
        SourceBudget::new(self.0.limits)
    }

    /// Creates the share of a connection. Without a source, only the connection and the peer bound
    /// it.
    pub(in crate::route) fn connection(&self, source: Option<&SourceBudget>) -> ConnectionBudget {
        ConnectionBudget::new(self.0.clone(), source.cloned())
    }

    pub(in crate::route) fn current(&self) -> BudgetUse {
        BudgetUse {
            queued: self.0.all.queued(),
            arriving: self.0.all.arriving(),
        }
    }

    /// Returns how often there was no room for something that does not wait.
    pub(in crate::route) fn refusals(&self) -> u64 {
        self.0.refusals()
    }

    /// Returns the largest number of bytes ever used at once.
    pub(in crate::route) fn peak(&self) -> usize {
        self.0.peak()
    }
}

impl fmt::Debug for ByteBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByteBudget").field(&self.current()).finish()
    }
}
