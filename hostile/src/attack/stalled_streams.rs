//! Streams that announce a large message and send one byte of it.

use std::io;
use std::time::{Duration, Instant};

use super::attack::Attack;
use crate::arena::Arena;
use crate::http2::{Connection, Opening, cut_message, request_block, write_some};

/// Each lasts longer than the deadline of an honest request, which must not wait for it.
pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "stalled-64",
        "64 streams that announce 4 MiB each and stall",
        |arena| Box::pin(stall(arena, 64)),
    )
    .lasts(14),
    Attack::new(
        "stalled-1024",
        "1,024 streams that announce 4 MiB each and stall",
        |arena| Box::pin(stall(arena, 1_024)),
    )
    .lasts(14),
];

/// The peer resets a stream that sends nothing for 5 s; the rest is slack for a busy machine.
const STALL_BOUND: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(250);

async fn stall(arena: Arena, streams: usize) {
    arena
        .attack_again(move |arena, index| async move {
            let mut connection = Connection::open(&arena, index, Opening::HONEST).await?;
            connection.settled().await?;
            keep_stalled(&mut connection, streams).await
        })
        .await;
}

/// Keeps this many streams open, replacing those that the peer ends.
async fn keep_stalled(connection: &mut Connection, streams: usize) -> io::Result<()> {
    let block = request_block(3_600);
    let start = cut_message(4 << 20);
    let streams = streams.min(connection.inbound().max_streams());
    loop {
        let missing = streams.saturating_sub(connection.inbound().sweep());
        for _ in 0..missing {
            let stream = connection.open_stream(&block, 0);
            write_some(connection, stream, &start, false);
        }
        connection.flush().await?;
        tokio::time::sleep(POLL).await;
        check_stalled(connection);
    }
}

/// Records streams that stalled for too long, each once.
pub(super) fn check_stalled(connection: &Connection) {
    let late = connection
        .inbound()
        .report_late(Instant::now(), STALL_BOUND);
    for _ in 0..late {
        connection.arena.fail("a stalled stream was not reset");
    }
}
