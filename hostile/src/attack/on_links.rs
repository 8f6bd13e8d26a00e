//! Attacks on links that begin like those of an honest client.

use std::io;

use crate::arena::Arena;
use crate::link::{AttackerLink, ClientHello, LinkReading};

/// Attacks on `at_a_time` links for each of the attack's connections, on each as soon as the peer
/// has sent its `Hello`. When an attack is done, or the peer has ended the link, attacks again on a
/// new link.
pub(super) async fn attack_links<A, F>(
    arena: Arena,
    at_a_time: usize,
    reading: LinkReading,
    attack: A,
) where
    A: Fn(AttackerLink) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    arena
        .attack_from_many(at_a_time, move |arena, index| {
            let attack = attack.clone();
            async move {
                let hello = ClientHello::of_new_client();
                attack(AttackerLink::open(&arena, index, &hello, reading).await?).await
            }
        })
        .await;
}
