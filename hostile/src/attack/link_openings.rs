//! Links that are opened and closed, replaced, or never completed.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::attack::Attack;
use super::handshakes::{SLOW_PAUSE, greet};
use crate::arena::Arena;
use crate::link::{AttackerLink, ClientHello, LinkFrames, LinkReading, LinkRequest};
use crate::peer::SILENT;

/// Concurrent links for each of the attack's connections.
const AT_A_TIME: usize = 16;
/// The largest number of connections from which any attack is made.
const SOURCES: usize = 16;
/// The replaced links that a client keeps open.
const KEPT: usize = 16;
/// The time that requests on links that are replaced state.
const MILLIS: u32 = 2_000;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "link-stalled-handshake",
        "100 connections at a time that send a part of a link's greeting, or of its Hello",
        |arena| Box::pin(greet(arena, part_of_greeting, Duration::MAX)),
    )
    .lasts(10),
    Attack::new(
        "link-slow-handshake",
        "100 connections at a time that send a byte of a link's Hello every half second",
        |arena| Box::pin(greet(arena, part_of_greeting, SLOW_PAUSE)),
    )
    .lasts(10),
    Attack::new(
        "link-storm",
        "links that are closed, or reset, as soon as they are open",
        |arena| Box::pin(open_and_close(arena)),
    ),
    Attack::new(
        "link-generations",
        "links of one client, each of which replaces the one before",
        |arena| Box::pin(replace(arena)),
    ),
];

/// A part of the greeting and of the `Hello`: one byte, a half of the greeting, all of it, or half
/// of a `Hello` behind it.
fn part_of_greeting(index: usize) -> Vec<u8> {
    let whole = LinkFrames::default()
        .greet(&ClientHello::new([1; 16], index as u64))
        .take();
    let length = [1, 4, 8, 8 + 16, whole.len() / 2, whole.len() - 1][index % 6];
    whole[..length].to_vec()
}

async fn open_and_close(arena: Arena) {
    arena
        .attack_from_many(AT_A_TIME, |arena, index| async move {
            let token = arena.token(SILENT);
            for turn in 0.. {
                // Uses many addresses, as a single one has too few ports for this many connections.
                let source = index + SOURCES * turn;
                let hello = ClientHello::of_new_client();
                let mut link = AttackerLink::open(&arena, source, &hello, LinkReading::All).await?;
                if turn % 2 == 0 {
                    link.request_anyway(&LinkRequest::new(token, SILENT, b""));
                    link.flush().await?;
                }
                if turn % 3 == 0 {
                    link.reset_on_close().await?;
                }
            }
            Ok(())
        })
        .await;
}

async fn replace(arena: Arena) {
    let generation = Arc::new(AtomicU64::new(1));
    // Known to its links alone, but not to other attacks on the same peer.
    let client = fastrand::u128(1..).to_le_bytes();
    arena
        .attack_from_many(AT_A_TIME, move |arena, index| {
            let generation = Arc::clone(&generation);
            async move {
                let token = arena.token(SILENT);
                let request = LinkRequest {
                    millis: MILLIS,
                    ..LinkRequest::new(token, SILENT, b"")
                };
                let mut kept = VecDeque::new();
                loop {
                    let generation = generation.fetch_add(1, Ordering::Relaxed);
                    let hello = ClientHello::new(client, generation);
                    // A newer one may be faster: then this one is refused.
                    if let Ok(mut link) = open(&arena, index, &hello).await {
                        link.request_anyway(&request);
                        link.flush().await?;
                        kept.push_back(link);
                    }
                    if kept.len() > KEPT {
                        kept.pop_front();
                    }
                }
            }
        })
        .await;
}

async fn open(arena: &Arena, index: usize, hello: &ClientHello) -> io::Result<AttackerLink> {
    let opened = AttackerLink::open(arena, index, hello, LinkReading::All).await;
    if opened.is_err() {
        tokio::task::yield_now().await;
    }
    opened
}
