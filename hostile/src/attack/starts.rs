//! Starts and stops of actors that cost the peer more than the client.

use std::io;

use super::attack::Attack;
use super::on_connections::attack_connections;
use crate::arena::Arena;
use crate::http2::{Connection, Opening, exchange, request_block, start_message, stop_message};
use crate::peer::HANGING;

/// The number of starts whose constructors hang, on all connections together.
const HANGING_STARTS: usize = 300;
/// The number of concurrent orders on each connection.
const ORDERS: usize = 32;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "hanging-constructors",
        "300 starts of actors whose constructors never end",
        |arena| Box::pin(hang(arena)),
    )
    .honest_starts_may_be_busy(),
    Attack::new(
        "unknown-starts",
        "starts of unknown types and stops of unknown names",
        |arena| Box::pin(attack_connections(arena, order_unknown)),
    )
    .honest_starts_may_be_busy(),
];

async fn hang(arena: Arena) {
    arena
        .attack_again(|arena, index| async move {
            let mut connection = Connection::open(&arena, index, Opening::HONEST).await?;
            connection.settled().await?;
            let share = HANGING_STARTS.div_ceil(arena.connections());
            let request = |number: usize| {
                let name = format!("hanging-{index}-{number}");
                let message = start_message(arena.peer(), HANGING, &name);
                (request_block(60), message.bytes().clone())
            };
            let requests = (0..share).map(request).collect();
            exchange(&mut connection, requests).await?;
            Ok(())
        })
        .await;
}

async fn order_unknown(mut connection: Connection) -> io::Result<()> {
    let peer = connection.arena.peer().to_owned();
    loop {
        let request = |number: usize| {
            let name = format!("unknown-{number}");
            let message = match number % 3 {
                0 => start_message(&peer, "no-such-type", &name),
                1 => start_message(&peer, HANGING, "not.a.name"),
                _ => stop_message(&peer, &name),
            };
            (request_block(10), message.bytes().clone())
        };
        let requests = (0..ORDERS).map(request).collect();
        exchange(&mut connection, requests).await?;
    }
}
