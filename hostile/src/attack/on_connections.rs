//! Attacks on connections that begin like those of an honest client.

use std::io;

use crate::arena::Arena;
use crate::http2::{Connection, Opening};

/// Attacks on all connections at once, on each as soon as the peer has sent its settings. When an
/// attack is done, or the peer has ended the connection, attacks again on a new connection.
pub(super) async fn attack_connections<A, F>(arena: Arena, attack: A)
where
    A: Fn(Connection) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    arena
        .attack_again(move |arena, index| {
            let attack = attack.clone();
            async move {
                let connection = Connection::open(&arena, index, Opening::HONEST).await?;
                connection.settled().await?;
                attack(connection).await
            }
        })
        .await;
}
