//! Sends several messages over one connection, in turns.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf as _, Bytes};

use super::connection::Connection;
use super::frame::flag;

/// The largest frame that every peer accepts.
pub(crate) const FRAME_BYTES: usize = 16 * 1024;
/// How many bytes are written before they are sent.
const BATCH_BYTES: usize = 256 * 1024;

/// Sends each message on its stream, one frame of each in fair turns, as far as the peer's windows
/// allow. Returns when all are sent, or ended by the peer.
pub(crate) async fn upload(
    connection: &mut Connection,
    messages: Vec<(u32, Bytes)>,
) -> io::Result<()> {
    let mut turns = VecDeque::from(messages);
    // The number of consecutive messages that could not continue.
    let mut held_up = 0;
    while let Some((stream, mut rest)) = turns.pop_front() {
        if connection.inbound().has_ended(stream) {
            held_up = 0;
            continue;
        }
        let taken = write_some(connection, stream, &rest, true);
        rest.advance(taken);
        held_up = if taken > 0 { 0 } else { held_up + 1 };
        if taken == 0 && connection.inbound().is_blocked() {
            // It goes first when the connection's window opens, for fairness.
            turns.push_front((stream, rest));
            held_up = turns.len();
        } else if !rest.is_empty() {
            turns.push_back((stream, rest));
        }
        let waits = !turns.is_empty() && held_up >= turns.len();
        if waits || connection.out.len() >= BATCH_BYTES {
            connection.flush().await?;
        }
        if waits {
            connection.changed().await;
            held_up = 0;
        }
    }
    connection.flush().await
}

/// Writes at most one frame of a message, as far as the peer's windows allow. Returns the number of
/// bytes written.
pub(crate) fn write_some(
    connection: &mut Connection,
    stream: u32,
    rest: &[u8],
    ends: bool,
) -> usize {
    let bytes = rest.len().min(FRAME_BYTES);
    let taken = connection.inbound().take_window(stream, bytes);
    if taken > 0 {
        let flags = match ends && taken == rest.len() {
            true => flag::END_STREAM,
            false => 0,
        };
        connection.out.data(stream, &rest[..taken], flags);
    }
    taken
}
