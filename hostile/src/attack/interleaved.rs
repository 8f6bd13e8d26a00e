//! Many large messages in fair turns on one connection, as Go clients send them.

use std::io;
use std::time::Duration;

use super::attack::Attack;
use crate::arena::Arena;
use crate::http2::{Connection, Message, Opening, StreamEnd, exchange, request_block};
use crate::peer::SINK;

/// The number of concurrent messages on each connection.
const MESSAGES: usize = 80;
/// The time within which all must be answered. Even a machine under load needs a small part of it.
const BOUND: Duration = Duration::from_secs(25);

pub(super) const ATTACKS: &[Attack] = &[Attack::new(
    "interleaved",
    "80 messages of 4 MiB in turns of 16 KiB: on one connection, each must be answered",
    |arena| Box::pin(interleave(arena)),
)
.with_connections(&[1, 4])];

async fn interleave(arena: Arena) {
    arena
        .each(arena.connections(), |arena, index| async move {
            while !arena.is_over() {
                match tokio::time::timeout(BOUND, all_at_once(&arena, index)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => arena.fail("the connection of honest large messages was closed"),
                    Err(_) => arena.fail("80 honest large messages were not all answered in 25 s"),
                }
            }
        })
        .await;
}

async fn all_at_once(arena: &Arena, index: usize) -> io::Result<()> {
    let mut connection = Connection::open(arena, index, Opening::HONEST).await?;
    connection.settled().await?;
    let body = Message::of_length(SINK, 4 << 20);
    let requests = vec![(request_block(30), body.bytes().clone()); MESSAGES];
    for record in exchange(&mut connection, requests).await? {
        let end = record.ended.map(|(_, end)| end);
        // Several connections together send more than the peer accepts, so it may reject some as
        // busy.
        let is_right = |end: &StreamEnd| end.is_reply() || arena.connections() > 1 && end.is_busy();
        if !end.as_ref().is_some_and(is_right) {
            arena.fail(&format!("an honest large message ended with {end:?}"));
        }
    }
    Ok(())
}
