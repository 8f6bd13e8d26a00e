//! Connections that are closed as soon as they are made.

use super::attack::Attack;
use crate::arena::Arena;

pub(super) const ATTACKS: &[Attack] = &[Attack::new(
    "churn",
    "connections that are closed, or reset, as soon as they are made",
    |arena| Box::pin(churn(arena)),
)];

/// The largest number of connections from which any attack is made.
const SOURCES: usize = 16;

async fn churn(arena: Arena) {
    arena
        .attack_again(|arena, index| async move {
            for turn in 0.. {
                // Uses many addresses, as a single one has too few ports for this many connections.
                let stream = arena.connect(index + SOURCES * turn).await?;
                if turn % 2 == 0 {
                    stream.set_zero_linger()?;
                }
            }
            Ok(())
        })
        .await;
}
