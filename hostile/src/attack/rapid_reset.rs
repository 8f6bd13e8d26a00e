//! Streams that are reset as soon as they are opened.

use super::attack::Attack;
use crate::arena::Arena;
use crate::http2::{Connection, Message, Opening, Reading, request_block};
use crate::peer::ECHO;

/// How many streams are written at a time.
const BATCH: usize = 100;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "rapid-reset",
        "streams that are opened and reset at once",
        |arena| Box::pin(reset(arena, false)),
    ),
    Attack::new(
        "rapid-reset-data",
        "streams that are opened, send a whole request and are reset at once",
        |arena| Box::pin(reset(arena, true)),
    ),
];

async fn reset(arena: Arena, with_data: bool) {
    let opening = Opening {
        reading: Reading::All,
        ..Opening::HONEST
    };
    arena
        .attack_again(move |arena, index| async move {
            let mut connection = Connection::open(&arena, index, opening).await?;
            let block = request_block(10);
            let message = Message::text(ECHO, b"x");
            while !connection.is_used_up() {
                for _ in 0..BATCH {
                    let stream = connection.next_stream();
                    connection.out.headers(stream, &block, 0);
                    // A flood beyond the window would merely be a protocol error.
                    if with_data && connection.inbound().take_whole(message.bytes().len()) {
                        connection.out.data(stream, message.bytes(), 0);
                    }
                    connection.out.reset(stream);
                }
                arena.found(|found| found.streams += BATCH as u64);
                connection.flush().await?;
            }
            Ok(())
        })
        .await;
}
