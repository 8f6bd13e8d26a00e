//! The room for the requests of a link that are unanswered, apart from their messages.

use crate::route::budget::{Charge, ConnectionBudget};

/// The bytes that an unanswered request is charged: less than on a gRPC connection, where each has
/// a stream.
const REQUEST_BYTES: usize = 2 * 1024;
/// So many of each link are not charged: most links have no more, and thousands of them may exist.
const FREE_REQUESTS: u64 = 4;

/// The room that a link has taken. It grows and shrinks by halves, so that a request mostly costs
/// no look at the budget, which all connections share.
pub(super) struct RequestRoom {
    budget: ConnectionBudget,
    charge: Option<Charge>,
    requests: u64,
}

impl RequestRoom {
    pub(super) const fn new(budget: ConnectionBudget) -> Self {
        Self {
            budget,
            charge: None,
            requests: FREE_REQUESTS,
        }
    }

    /// Returns how many requests may be unanswered at the moment.
    pub(super) const fn requests(&self) -> u64 {
        self.requests
    }

    /// Takes room for twice as many requests, or for one more. Returns whether it did.
    pub(super) fn grow(&mut self) -> bool {
        self.resize(2 * self.requests) || self.resize(self.requests + 1)
    }

    /// Gives half of the room back if so many requests leave three quarters of it unused.
    pub(super) fn fit(&mut self, unanswered: u64) {
        let half = self.requests / 2;
        if half >= FREE_REQUESTS && unanswered < half / 2 {
            self.resize(half);
        }
    }

    fn resize(&mut self, requests: u64) -> bool {
        let charged = usize::try_from(requests - FREE_REQUESTS).unwrap_or(usize::MAX);
        let bytes = charged.saturating_mul(REQUEST_BYTES);
        let is_resized = match &mut self.charge {
            Some(charge) => charge.resize(bytes).is_ok(),
            None => match self.budget.charge(bytes) {
                Ok(charge) => {
                    self.charge = Some(charge);
                    true
                }
                Err(_) => false,
            },
        };
        if is_resized {
            self.requests = requests;
        }
        is_resized
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::budget::{BudgetLimits, ByteBudget};

    #[test]
    fn room_is_taken_by_doubling_and_given_back() {
        let budget = ByteBudget::new(BudgetLimits {
            total: 100 * REQUEST_BYTES,
            per_connection: 20 * REQUEST_BYTES,
        });
        let mut room = RequestRoom::new(budget.connection(None));
        assert_eq!(room.requests(), FREE_REQUESTS);
        let sizes: Vec<_> = (0..12).map(|_| (room.grow(), room.requests())).collect();
        assert_eq!(sizes[..2], [(true, 8), (true, 16)]);
        // Twice as many have no room; one more has.
        assert_eq!(sizes[2], (true, 17));
        assert_eq!(sizes[11], (false, 24));
        assert_eq!(budget.current().queued, 20 * REQUEST_BYTES);
        room.fit(6);
        assert_eq!(room.requests(), 24, "a half of the half is used");
        for _ in 0..10 {
            room.fit(0);
        }
        assert_eq!(room.requests(), 6);
        drop(room);
        assert_eq!(budget.current().queued, 0);
    }
}
