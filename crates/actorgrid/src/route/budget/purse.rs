//! Room of a budget that is taken and given back in larger pieces.

use super::connection_budget::{BudgetFull, Charge, ConnectionBudget};

/// The room that is taken ahead, and kept for what comes next, if that much is in use anyway.
const PIECE_BYTES: usize = 16 * 1024;
/// The room that is kept in any case.
const KEPT_BYTES: usize = 2 * 1024;

/// Room for many small things that come and go. Each level of a budget is shared by all
/// connections, so to charge each thing to it would cost more than the thing itself.
///
/// It holds at most as much again as is in use, or two pieces, and little if nothing is in use.
#[derive(Debug)]
pub(in crate::route) struct Purse {
    charge: Charge,
    used: usize,
}

impl Purse {
    /// A purse that holds nothing.
    pub(in crate::route) fn new(budget: &ConnectionBudget) -> Self {
        Self {
            charge: budget.charge_nothing(),
            used: 0,
        }
    }

    /// Uses room, or fails if there is none.
    pub(in crate::route) fn pay(&mut self, bytes: usize) -> Result<(), BudgetFull> {
        let used = self.used + bytes;
        let missing = used.saturating_sub(self.charge.bytes());
        if missing > 0 {
            let ahead = self.used.min(PIECE_BYTES);
            if ahead == 0 || self.charge.extend(missing + ahead).is_err() {
                let extended = self.charge.extend(missing);
                extended.inspect_err(|_| self.charge.note_unmet(bytes))?;
            }
        }
        self.used = used;
        Ok(())
    }

    /// Room is not used any more.
    pub(in crate::route) fn refund(&mut self, bytes: usize) {
        debug_assert!(self.used >= bytes, "more is refunded than was paid");
        self.used = self.used.saturating_sub(bytes);
        let kept = self.used.clamp(KEPT_BYTES, PIECE_BYTES);
        if self.charge.bytes() > self.used + 2 * kept {
            self.shrink(kept);
        }
    }

    /// Gives back what is not in use.
    pub(in crate::route) fn trim(&mut self) {
        if self.charge.bytes() > self.used {
            self.shrink(0);
        }
    }

    fn shrink(&mut self, kept: usize) {
        // Giving back does not fail.
        let _ = self.charge.resize(self.used + kept);
    }
}
