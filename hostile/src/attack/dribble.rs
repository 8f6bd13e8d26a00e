//! Streams that send their messages slowly.

use std::io;
use std::time::Duration;

use bytes::Bytes;

use super::attack::Attack;
use super::stalled_streams::check_stalled;
use crate::arena::Arena;
use crate::http2::{Connection, FRAME_BYTES, Opening, cut_message, request_block, write_some};

/// The number of streams on each connection.
const STREAMS: usize = 64;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "dribble-slow",
        "64 streams that send one byte a second",
        |arena| Box::pin(dribble(arena, 1, Duration::from_secs(1))),
    )
    .lasts(14),
    Attack::new(
        "dribble-just",
        "64 streams that send 16 KiB every 4.9 s, which is just allowed",
        |arena| Box::pin(dribble(arena, FRAME_BYTES, Duration::from_millis(4_900))),
    )
    .lasts(14),
];

async fn dribble(arena: Arena, bytes: usize, every: Duration) {
    arena
        .attack_again(move |arena, index| async move {
            let mut connection = Connection::open(&arena, index, Opening::HONEST).await?;
            connection.settled().await?;
            bring(&mut connection, bytes, every).await
        })
        .await;
}

async fn bring(connection: &mut Connection, bytes: usize, every: Duration) -> io::Result<()> {
    let block = request_block(3_600);
    let start = cut_message(4 << 20);
    let part = Bytes::from(vec![0; bytes]);
    let mut streams = Vec::new();
    loop {
        {
            let inbound = connection.inbound();
            streams.retain(|stream| !inbound.has_ended(*stream));
        }
        while streams.len() < STREAMS {
            let stream = connection.open_stream(&block, 0);
            write_some(connection, stream, &start, false);
            streams.push(stream);
        }
        for stream in &streams {
            write_some(connection, *stream, &part, false);
        }
        connection.flush().await?;
        tokio::time::sleep(every).await;
        if bytes < FRAME_BYTES {
            check_stalled(connection);
        }
    }
}
