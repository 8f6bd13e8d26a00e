//! The room for the reply to a request from another process.

use super::budget::{BudgetFull, Charge, ConnectionBudget};

/// The room for a reply.
#[derive(Debug)]
pub(super) enum ReplyRoom {
    /// To be taken from this budget.
    Of(ConnectionBudget),
    /// Already reserved, for a reply of a certain size.
    Reserved(Charge),
}

impl ReplyRoom {
    /// Whether there would probably be no room.
    pub(super) fn is_lacking(&self) -> bool {
        match self {
            Self::Of(budget) => budget.is_crowded(),
            Self::Reserved(_) => false,
        }
    }

    /// Takes the room for a reply of this size.
    pub(super) fn take(self, bytes: usize) -> Result<Charge, BudgetFull> {
        match self {
            Self::Of(budget) => budget.charge(bytes),
            Self::Reserved(mut charge) => charge.resize(bytes).map(|()| charge),
        }
    }
}
