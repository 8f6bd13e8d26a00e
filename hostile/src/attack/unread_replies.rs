//! Replies that are requested and never read.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::attack::Attack;
use crate::arena::Arena;
use crate::http2::{Connection, Message, Opening, Reading, request_block, setting, upload};
use crate::peer::{LARGE, SINK};

/// The number of concurrent requests on each connection.
const REQUESTS: usize = 500;
/// The timeout that the requests state.
const DEADLINE_SECONDS: u32 = 3;
/// The peer resets a reply that is not read by the deadline; the rest is slack for a busy machine.
const REPLY_BOUND: Duration = Duration::from_secs(DEADLINE_SECONDS as u64 + 3);
/// The keep-alive closes a client that reads nothing after 10 s and 5 s; the rest is slack.
const CLOSE_BOUND: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(250);

const NO_WINDOW: &[(u16, u32)] = &[(setting::INITIAL_WINDOW, 0)];

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "unread-replies-window",
        "500 replies of 4 MiB whose windows are never opened, while pings are answered",
        |arena| Box::pin(leave_unread(arena, LARGE, Reading::NoWindows)),
    ),
    Attack::new(
        "unread-replies-small",
        "small replies whose windows are never opened, on as many streams as the peer takes",
        // Uses its own mailbox: behind ten thousand requests in one mailbox, everybody waits alike.
        |arena| Box::pin(leave_unread(arena, SINK, Reading::NoWindows)),
    ),
    Attack::new(
        "unread-replies-socket",
        "500 replies of 4 MiB on a socket that is never read",
        |arena| Box::pin(leave_socket_unread(arena)),
    )
    .with_connections(&[1, 4])
    .lasts(22),
];

async fn leave_unread(arena: Arena, mailbox: &'static str, reading: Reading) {
    let opening = Opening {
        reading,
        settings: NO_WINDOW,
        window: 0,
    };
    arena
        .attack_again(move |arena, index| async move {
            let mut connection = Connection::open(&arena, index, opening).await?;
            connection.settled().await?;
            let streams = connection.inbound().max_streams();
            let streams = match mailbox {
                SINK => streams,
                _ => streams.min(REQUESTS),
            };
            keep_asking(&mut connection, mailbox, streams).await
        })
        .await;
}

/// Keeps this many requests open, replacing those that the peer ends.
async fn keep_asking(connection: &mut Connection, mailbox: &str, streams: usize) -> io::Result<()> {
    loop {
        let missing = streams.saturating_sub(connection.inbound().sweep());
        ask(connection, mailbox, missing).await?;
        tokio::time::sleep(POLL).await;
        let late = connection
            .inbound()
            .report_late(Instant::now(), REPLY_BOUND);
        for _ in 0..late {
            connection
                .arena
                .fail("a reply was not reset though its deadline had passed");
        }
    }
}

async fn leave_socket_unread(arena: Arena) {
    let opening = Opening {
        reading: Reading::Nothing,
        // Large windows, so that only the socket holds the replies back.
        settings: &[(setting::INITIAL_WINDOW, 0x7fff_ffff)],
        window: 1 << 30,
    };
    // The peer queues replies to the first clients and rejects the requests of the others, whose
    // sockets can hold all the answers; so only some client must be closed.
    let is_one_closed = Arc::new(AtomicBool::new(false));
    arena
        .attack_again(move |arena, index| {
            let is_one_closed = Arc::clone(&is_one_closed);
            async move {
                let mut connection = Connection::open(&arena, index, opening).await?;
                ask(&mut connection, LARGE, REQUESTS).await?;
                let begun = Instant::now();
                loop {
                    tokio::time::sleep(4 * POLL).await;
                    // Fails once the peer has closed.
                    connection.out.ping(0, &[0; 8]);
                    if let Err(error) = connection.flush().await {
                        is_one_closed.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                    if begun.elapsed() > CLOSE_BOUND && !is_one_closed.load(Ordering::Relaxed) {
                        arena.fail("no client that reads nothing was closed");
                        return Ok(());
                    }
                }
            }
        })
        .await;
}

async fn ask(connection: &mut Connection, mailbox: &str, requests: usize) -> io::Result<()> {
    let block = request_block(DEADLINE_SECONDS);
    let message = Message::text(mailbox, &[b'x'; 50]);
    let messages = (0..requests)
        .map(|_| (connection.open_stream(&block, 0), message.bytes().clone()))
        .collect();
    // All requests of a client that reads nothing fit into the first window of its connection.
    upload(connection, messages).await
}
