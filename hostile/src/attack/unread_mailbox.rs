//! Messages to actors that never read their mailboxes.

use std::io;
use std::time::Duration;

use super::attack::Attack;
use crate::arena::Arena;
use crate::http2::{Connection, Message, Opening, exchange, request_block, upload, wait_for_ends};
use crate::peer::{DEAF_100, DEAF_1000};

/// A rejected message must be answered within this time after its headers.
const BUSY_BOUND: Duration = Duration::from_millis(100);

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "unread-mailbox-4m",
        "400 messages of 4 MiB with short deadlines to a mailbox of 100 that nobody reads",
        |arena| Box::pin(fill(arena)),
    ),
    Attack::new(
        "unread-mailbox-1m",
        "1,000 messages of 1 MiB to a mailbox of 100 that nobody reads",
        |arena| Box::pin(pour(arena, DEAF_100)),
    ),
    Attack::new(
        "unread-mailbox-1m-1000",
        "1,000 messages of 1 MiB to a mailbox of 1,000 that nobody reads",
        |arena| Box::pin(pour(arena, DEAF_1000)),
    ),
];

async fn fill(arena: Arena) {
    let body = Message::of_length(DEAF_100, 4 << 20);
    arena
        .attack_again(move |arena, index| {
            let body = body.bytes().clone();
            async move {
                let mut connection = Connection::open(&arena, index, Opening::HONEST).await?;
                connection.settled().await?;
                let messages = (400 / arena.connections()).min(connection.inbound().max_streams());
                let requests = vec![(request_block(2), body); messages];
                exchange(&mut connection, requests).await?;
                Ok(())
            }
        })
        .await;
}

async fn pour(arena: Arena, mailbox: &'static str) {
    let body = Message::of_length(mailbox, 1 << 20);
    arena
        .attack_again(move |arena, index| {
            let body = body.clone();
            async move {
                let mut connection = Connection::open(&arena, index, Opening::HONEST).await?;
                connection.settled().await?;
                pour_once(&mut connection, &body, 1_000 / arena.connections()).await
            }
        })
        .await;
}

/// Sends the messages one after the other, since each is either queued or rejected.
async fn pour_once(connection: &mut Connection, body: &Message, messages: usize) -> io::Result<()> {
    let block = request_block(3);
    let mut streams = Vec::new();
    for _ in 0..messages {
        let stream = connection.open_stream(&block, 0);
        connection.flush().await?;
        upload(connection, vec![(stream, body.bytes().clone())]).await?;
        streams.push(stream);
    }
    let records = wait_for_ends(connection, &streams).await?;
    let rejected: Vec<Duration> = records
        .iter()
        .filter_map(|record| match &record.ended {
            Some((ended, end)) if end.is_busy() => Some(ended.duration_since(record.opened)),
            _ => None,
        })
        .collect();
    // One in a hundred may be late, as other processes use the machine too.
    let late = rejected.iter().filter(|took| **took > BUSY_BOUND).count();
    if late * 100 > rejected.len() {
        connection
            .arena
            .fail("rejected messages were not answered within 100 ms of their headers");
    }
    Ok(())
}
