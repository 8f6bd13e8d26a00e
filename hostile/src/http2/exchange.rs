//! Sends requests and waits for their ends.

use std::io;

use bytes::Bytes;

use super::connection::Connection;
use super::inbound::StreamRecord;
use super::upload::upload;

/// A request: its header block and its body.
pub(crate) type RawRequest = (Vec<u8>, Bytes);

/// Sends requests concurrently, and waits until each has ended, one way or another.
pub(crate) async fn exchange(
    connection: &mut Connection,
    requests: Vec<RawRequest>,
) -> io::Result<Vec<StreamRecord>> {
    let mut messages = Vec::with_capacity(requests.len());
    for (block, body) in requests {
        messages.push((connection.open_stream(&block, 0), body));
    }
    let streams: Vec<u32> = messages.iter().map(|(stream, _)| *stream).collect();
    connection.flush().await?;
    upload(connection, messages).await?;
    wait_for_ends(connection, &streams).await
}

/// Waits until these streams have ended, and counts how.
pub(crate) async fn wait_for_ends(
    connection: &mut Connection,
    streams: &[u32],
) -> io::Result<Vec<StreamRecord>> {
    let mut records = Vec::with_capacity(streams.len());
    for stream in streams {
        let record = loop {
            if let Some(record) = connection.inbound().take_ended(*stream) {
                break record;
            }
            connection.check_open()?;
            connection.changed().await;
        };
        count(connection, &record);
        records.push(record);
    }
    Ok(records)
}

fn count(connection: &Connection, record: &StreamRecord) {
    let Some((_, end)) = &record.ended else {
        return;
    };
    connection.arena.found(|found| {
        if end.is_reply() {
            found.replies += 1;
        } else if end.is_busy() {
            found.busy += 1;
        } else {
            found.failed += 1;
        }
    });
}
