//! Waits for the room of a large message, as long as waiting can help.

use std::pin::pin;
use std::time::Duration;

use super::arriving_messages::Ticket;
use crate::environment::Environment;
use crate::route::budget::{BudgetFull, ConnectionBudget};

/// The time between two looks at whether waiting for room helps.
const LOOK_TIME: Duration = Duration::from_millis(25);
/// A message for which queued ones leave no room is rejected after this many looks in which none of
/// them has left: 75 ms, as on a gRPC connection.
const STUCK_LOOKS: u32 = 3;

/// Waits until there is room for a message of this length, and for a reply as large.
///
/// It waits for room that arriving messages hold. For room that queued ones hold it waits only
/// while they leave.
pub(super) async fn large_ticket(
    environment: Environment,
    received: ConnectionBudget,
    replies: ConnectionBudget,
    total: usize,
) -> Result<Ticket, BudgetFull> {
    // 0 bytes of it wait unread meanwhile: the client sends nothing of it before it has the ticket.
    let mut tickets = pin!(async {
        let reply = replies.ticket(total, 0).await?;
        let message = received.ticket(total, 0).await?;
        Ok::<_, BudgetFull>(Ticket { message, reply })
    });
    let (mut departures, mut looks) = (received.departures_before(total), 0);
    loop {
        if let Some(tickets) = environment.timeout(LOOK_TIME, tickets.as_mut()).await {
            return tickets;
        }
        let before = departures;
        departures = received.departures_before(total);
        let is_stuck = departures.is_some() && departures == before;
        looks = if is_stuck { looks + 1 } else { 0 };
        if looks >= STUCK_LOOKS {
            return Err(BudgetFull);
        }
    }
}
