//! A part of a frame that has come, while the rest is missing.

use crate::route::budget::{Charge, ConnectionBudget};

/// A frame that needs no more room than this is not charged: each link may read as much at a time.
const SMALL_FRAME_BYTES: usize = 4 * 1024;

/// The part of a frame at the end of a link's read buffer. It is charged for the whole frame, if
/// that is large: a client that sends the rest slowly, or never, must not hold more than its share.
#[derive(Debug)]
pub(super) struct PartOfFrame {
    budget: ConnectionBudget,
    large: Option<LargePart>,
}

#[derive(Debug)]
struct LargePart {
    /// None if there was no room.
    charge: Option<Charge>,
    /// Whether it was there at the last look.
    is_old: bool,
}

impl PartOfFrame {
    pub(super) const fn new(budget: ConnectionBudget) -> Self {
        Self {
            budget,
            large: None,
        }
    }

    /// The buffer ends with a part of a frame that needs so many bytes, or with none. `is_new`
    /// means that it is not the one of before.
    pub(super) fn note(&mut self, needed: Option<usize>, is_new: bool) {
        let Some(needed) = needed.filter(|needed| *needed > SMALL_FRAME_BYTES) else {
            self.large = None;
            return;
        };
        let large = self.large.get_or_insert(LargePart {
            charge: None,
            is_old: false,
        });
        large.is_old &= !is_new;
        let charge = large.charge.as_mut();
        if charge.is_none_or(|charge| charge.resize(needed).is_err()) {
            large.charge = self.budget.charge_arriving(needed).ok();
        }
    }

    /// Looks whether it has been there for too long without room. That there is none may be the
    /// matter of a moment, so a client has the time from one look to the next.
    pub(super) fn is_overdue(&mut self) -> bool {
        self.large.as_mut().is_some_and(|large| {
            let was_there = std::mem::replace(&mut large.is_old, true);
            was_there && large.charge.is_none()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::budget::{BudgetLimits, ByteBudget};

    #[test]
    fn a_large_frame_is_charged_and_one_without_room_is_overdue_at_the_second_look() {
        let budget = ByteBudget::new(BudgetLimits {
            total: 100_000,
            per_connection: 100_000,
        });
        let mut part = PartOfFrame::new(budget.connection(None));
        part.note(Some(SMALL_FRAME_BYTES), true);
        assert_eq!(budget.current().arriving, 0);
        part.note(Some(60_000), true);
        part.note(Some(60_000), false);
        assert_eq!(budget.current().arriving, 60_000);
        assert!(!part.is_overdue() && !part.is_overdue());

        let mut other = PartOfFrame::new(budget.connection(None));
        other.note(Some(60_000), true);
        assert!(!other.is_overdue() && other.is_overdue());
        other.note(Some(50_000), true);
        assert!(!other.is_overdue(), "another one has its own time");
        part.note(None, true);
        assert_eq!(budget.current().arriving, 0);
        other.note(Some(50_000), false);
        assert!(!other.is_overdue());
        assert_eq!(budget.current().arriving, 50_000);
        drop(other);
        assert_eq!(budget.current().arriving, 0);
    }
}
