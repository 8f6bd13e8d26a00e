//! Connections that are closed as soon as they are made.

use super::attack::Attack;
use crate::arena::Arena;

pub(super) const ATTACKS: &[Attack] = &[Attack::new(
    "churn",
    "connections that are closed, or reset, as soon as they are made",
    |arena| Box::pin(churn(arena)),
)];

/// The most connections from which any attack is made.
const SOURCES: usize = 16;

async fn churn(arena: Arena) {
    arena
        .attack_again(|arena, index| async move {
            for turn in 0.. {
                // From many addresses, as one has too few ports for a connection after the other.
                let stream = arena.connect(index + SOURCES * turn).await?;
                if turn % 2 == 0 {
                    stream.set_zero_linger()?;
                }
            }
            Ok(())
        })
        .await;
}
