//! Replies that are requested over links and never read, or whose credit is never returned.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::attack::Attack;
use crate::arena::Arena;
use crate::link::{AttackerLink, ClientHello, LEAST_CREDIT, LinkReading, LinkRequest, echo_body};
use crate::peer::{LARGE, MIRROR, SINK};

/// Of the requests that a link allows, the part that is not reserved.
const REQUESTS: usize = 3_000;
/// The number of requests for large replies on each link.
const LARGE_REQUESTS: usize = 500;
const LARGE_MILLIS: u32 = 3_000;
const MILLIS: u32 = 60_000;
/// The peer closes a client that takes no byte for 5 s, which it finds out every 5 s; the rest is
/// slack for a busy machine.
const CLOSE_BOUND: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_secs(1);
const BATCH_BYTES: usize = 16 * 1024;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "link-unread-small",
        "3,000 small replies on each of 16 links at a time whose sockets are never read",
        |arena| {
            let (body, millis, requests) = (Vec::new(), MILLIS, REQUESTS);
            let asked = Asked {
                mailbox: SINK,
                body,
                millis,
                requests,
            };
            Box::pin(leave_unread(arena, 16, asked))
        },
    )
    .with_connections(&[1, 4]),
    Attack::new(
        "link-unread-medium",
        "replies of 4 KiB on each of 64 links at a time whose sockets are never read",
        |arena| {
            let body = echo_body(&"x".repeat(4_096));
            let (millis, requests) = (MILLIS, REQUESTS);
            let asked = Asked {
                mailbox: MIRROR,
                body,
                millis,
                requests,
            };
            Box::pin(leave_unread(arena, 64, asked))
        },
    )
    .with_connections(&[1, 4]),
    Attack::new(
        "link-unread-large",
        "500 replies of 4 MiB on a link that grants any credit and never reads its socket",
        |arena| {
            let (body, millis, requests) = (Vec::new(), LARGE_MILLIS, LARGE_REQUESTS);
            let asked = Asked {
                mailbox: LARGE,
                body,
                millis,
                requests,
            };
            Box::pin(leave_unread(arena, 1, asked))
        },
    )
    .with_connections(&[1, 4])
    .lasts(22),
    Attack::new(
        "link-unread-credit",
        "requests without end on links that never return the credit of replies",
        |arena| Box::pin(use_up_credit(arena, SINK)),
    ),
    Attack::new(
        "link-unread-credit-large",
        "the same with replies of 4 MiB",
        |arena| Box::pin(use_up_credit(arena, LARGE)),
    )
    .with_connections(&[1, 4]),
];

/// The requests whose replies are not read.
#[derive(Debug, Clone)]
struct Asked {
    mailbox: &'static str,
    body: Vec<u8>,
    millis: u32,
    requests: usize,
}

/// Asks, and reads nothing until the peer has closed the link.
async fn leave_unread(arena: Arena, at_a_time: usize, asked: Asked) {
    // The answers to some may fit into what the system buffers; so only some client must be closed.
    let is_one_closed = Arc::new(AtomicBool::new(false));
    arena
        .attack_from_many(at_a_time, move |arena, index| {
            let (is_one_closed, asked) = (Arc::clone(&is_one_closed), asked.clone());
            async move {
                let hello = ClientHello {
                    credit: u64::MAX,
                    ..ClientHello::of_new_client()
                };
                let opening = AttackerLink::open(&arena, index, &hello, LinkReading::Nothing);
                let mut link = opening.await?;
                let staying = ask_and_stay(&mut link, &asked);
                match tokio::time::timeout(CLOSE_BOUND, staying).await {
                    Ok(closed) => {
                        is_one_closed.store(true, Ordering::Relaxed);
                        closed
                    }
                    Err(_) => {
                        if !is_one_closed.load(Ordering::Relaxed) {
                            arena.fail("no link that reads nothing was closed");
                        }
                        Ok(())
                    }
                }
            }
        })
        .await;
}

/// Asks, and stays until the peer has closed the link.
async fn ask_and_stay(link: &mut AttackerLink, asked: &Asked) -> io::Result<()> {
    let request = LinkRequest {
        millis: asked.millis,
        ..LinkRequest::new(link.arena.token(asked.mailbox), asked.mailbox, &asked.body)
    };
    for _ in 0..asked.requests {
        link.request_anyway(&request);
        if link.out.len() > BATCH_BYTES {
            link.flush().await?;
        }
    }
    loop {
        link.out.ping();
        // Fails once the peer has closed.
        link.flush().await?;
        tokio::time::sleep(POLL).await;
    }
}

async fn use_up_credit(arena: Arena, mailbox: &'static str) {
    arena
        .attack_again(move |arena, index| async move {
            let hello = ClientHello {
                credit: LEAST_CREDIT,
                ..ClientHello::of_new_client()
            };
            let mut link = AttackerLink::open(&arena, index, &hello, LinkReading::NoCredit).await?;
            let request = LinkRequest {
                millis: 3_600_000,
                ..LinkRequest::new(arena.token(mailbox), mailbox, b"")
            };
            keep_asking(&mut link, &request).await
        })
        .await;
}

async fn keep_asking(link: &mut AttackerLink, request: &LinkRequest<'_>) -> io::Result<()> {
    loop {
        link.request(request).await?;
        if link.out.len() > BATCH_BYTES {
            link.flush().await?;
        }
    }
}
