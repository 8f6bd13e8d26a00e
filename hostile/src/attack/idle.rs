//! More connections than a peer accepts, all of them idle.

use std::io;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::net::TcpStream;

use super::attack::Attack;
use crate::arena::Arena;
use crate::http2::{FrameHead, FrameWriter, Message, PREFACE, flag, kind, request_block};
use crate::peer::SILENT;

/// The number of connections from all addresses together, a few more than the 4,096 that a peer
/// accepts.
const CONNECTIONS: usize = 4_200;
/// The peer closes a silent connection after 5 s; the rest is slack for a busy machine.
const SILENCE_BOUND: Duration = Duration::from_secs(8);
const CONNECT_BOUND: Duration = Duration::from_secs(1);
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_millis(500);

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "idle-silent",
        "4,200 connections that send nothing",
        |arena| Box::pin(idle(arena, Idle::Silent)),
    )
    .with_connections(&[1, 16])
    .lasts(12)
    .while_etcd_is_away(),
    Attack::new(
        "idle-greeted",
        "4,200 connections that greet, answer pings and ask for nothing",
        |arena| Box::pin(idle(arena, Idle::Greeted)),
    )
    .with_connections(&[1, 16])
    .lasts(12)
    .while_etcd_is_away(),
    Attack::new(
        "idle-one-stream",
        "4,200 connections with one request to an actor that never answers",
        |arena| Box::pin(idle(arena, Idle::OneStream)),
    )
    .with_connections(&[1, 16])
    .lasts(12)
    .while_etcd_is_away(),
];

/// The bytes that a connection has sent before it becomes idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Idle {
    Silent,
    Greeted,
    OneStream,
}

impl Idle {
    fn greeting(self) -> FrameWriter {
        let mut frames = FrameWriter::default();
        if self != Self::Silent {
            frames.raw(PREFACE).settings(&[]);
        }
        if self == Self::OneStream {
            let message = Message::text(SILENT, b"x");
            frames
                .headers(1, &request_block(3_600), 0)
                .data(1, message.bytes(), flag::END_STREAM);
        }
        frames
    }
}

struct IdleConnection {
    stream: TcpStream,
    since: Instant,
    come: BytesMut,
}

async fn idle(arena: Arena, kind: Idle) {
    let greeting = kind.greeting().take();
    arena
        .each(arena.connections(), move |arena, source| {
            let greeting = greeting.clone();
            async move {
                let share = CONNECTIONS / arena.connections();
                let mut connections = Vec::with_capacity(share);
                while !arena.is_over() {
                    fill(&arena, source, &greeting, &mut connections, share).await;
                    tokio::time::sleep(POLL.min(arena.left())).await;
                    let before = connections.len();
                    connections.retain_mut(|connection| look(connection).is_ok());
                    let closed = before - connections.len();
                    arena.found(|found| found.closed += closed as u64);
                    if kind == Idle::Silent {
                        check_silent(&arena, &mut connections);
                    }
                }
            }
        })
        .await;
}

/// Connects until there are `share` connections, or the time is over.
async fn fill(
    arena: &Arena,
    source: usize,
    greeting: &[u8],
    connections: &mut Vec<IdleConnection>,
    share: usize,
) {
    while connections.len() < share && !arena.is_over() {
        let connecting = connect(arena, source, greeting);
        match tokio::time::timeout(CONNECT_BOUND, connecting).await {
            Ok(Ok(connection)) => connections.push(connection),
            _ => tokio::time::sleep(RECONNECT_PAUSE).await,
        }
    }
}

async fn connect(arena: &Arena, source: usize, greeting: &[u8]) -> io::Result<IdleConnection> {
    let stream = arena.connect(source).await?;
    if !greeting.is_empty() {
        // The greeting fits into the buffer of any socket.
        stream.try_write(greeting)?;
    }
    Ok(IdleConnection {
        stream,
        since: Instant::now(),
        come: BytesMut::new(),
    })
}

/// Reads what has arrived and answers pings. Fails if the peer has closed.
fn look(connection: &mut IdleConnection) -> io::Result<()> {
    loop {
        match connection.stream.try_read_buf(&mut connection.come) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    let mut answers = FrameWriter::default();
    while let Some((head, payload)) = FrameHead::read(&mut connection.come) {
        match head.kind {
            kind::PING if !head.has(flag::ACK) => drop(answers.ping(flag::ACK, &payload)),
            kind::SETTINGS if !head.has(flag::ACK) => drop(answers.settings_ack()),
            _ => {}
        }
    }
    if answers.len() > 0 {
        connection.stream.try_write(&answers.take())?;
    }
    Ok(())
}

fn check_silent(arena: &Arena, connections: &mut Vec<IdleConnection>) {
    let before = connections.len();
    connections.retain(|connection| connection.since.elapsed() <= SILENCE_BOUND);
    for _ in connections.len()..before {
        arena.fail("a silent connection was not closed");
    }
}
