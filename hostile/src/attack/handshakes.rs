//! Greetings that are begun and never completed.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::attack::Attack;
use crate::arena::Arena;
use crate::http2::PREFACE;

/// Concurrent connections for each of the attack's connections.
const AT_A_TIME: usize = 100;
/// The peer requires a greeting within 5 s; the rest is slack for a busy machine.
const GREETING_BOUND: Duration = Duration::from_secs(8);
/// Between two bytes of a slow greeting.
pub(super) const SLOW_PAUSE: Duration = Duration::from_millis(500);

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "stalled-handshake",
        "100 connections at a time that send half of a greeting",
        |arena| Box::pin(greet(arena, half_of_preface, Duration::MAX)),
    )
    .lasts(10),
    Attack::new(
        "slow-handshake",
        "100 connections at a time that send a byte of the greeting every half second",
        |arena| Box::pin(greet(arena, half_of_preface, SLOW_PAUSE)),
    )
    .lasts(10),
];

fn half_of_preface(index: usize) -> Vec<u8> {
    PREFACE[..PREFACE.len() / 2 + index % 8].to_vec()
}

/// Begins greetings, with the bytes for the index of each connection, and completes none.
pub(super) async fn greet(arena: Arena, bytes: fn(usize) -> Vec<u8>, pause: Duration) {
    arena
        .each(
            arena.connections() * AT_A_TIME,
            move |arena, index| async move {
                while !arena.is_over() {
                    let connection = index / AT_A_TIME;
                    let greeting = async {
                        let mut stream = arena.connect(connection).await?;
                        greet_slowly(&arena, &mut stream, &bytes(index), pause).await
                    };
                    let _ = tokio::time::timeout(arena.left(), greeting).await;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
        )
        .await;
}

/// Fails once the peer has closed.
async fn greet_slowly(
    arena: &Arena,
    stream: &mut TcpStream,
    bytes: &[u8],
    pause: Duration,
) -> io::Result<()> {
    let begun = Instant::now();
    let (mut reader, mut writer) = stream.split();
    let write = async {
        if pause == Duration::MAX {
            writer.write_all(bytes).await?;
            return std::future::pending().await;
        }
        for byte in bytes.iter().cycle() {
            writer.write_all(&[*byte]).await?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    };
    let mut nothing = tokio::io::sink();
    let closed = async { tokio::io::copy(&mut reader, &mut nothing).await.map(drop) };
    let bound = async {
        tokio::time::sleep(GREETING_BOUND.saturating_sub(begun.elapsed())).await;
        arena.fail("a connection that did not greet was not closed");
        Ok(())
    };
    tokio::select! {
        biased;
        ended = closed => ended,
        ended = write => ended,
        ended = bound => ended,
    }
}
