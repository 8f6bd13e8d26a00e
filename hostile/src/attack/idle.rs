//! More connections than a peer accepts, all of them idle.

use std::io;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
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
        |arena| Box::pin(idle_http2(arena, Idle::Silent)),
    )
    .with_connections(&[1, 16])
    .lasts(12)
    .while_etcd_is_away(),
    Attack::new(
        "idle-greeted",
        "4,200 connections that greet, answer pings and ask for nothing",
        |arena| Box::pin(idle_http2(arena, Idle::Greeted)),
    )
    .with_connections(&[1, 16])
    .lasts(12)
    .while_etcd_is_away(),
    Attack::new(
        "idle-one-stream",
        "4,200 connections with one request to an actor that never answers",
        |arena| Box::pin(idle_http2(arena, Idle::OneStream)),
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

/// An idle connection of an attacker.
pub(super) trait IdleClient: Sized + Send + 'static {
    /// Begins on a connection that was just made.
    fn begin(stream: TcpStream, greeting: &Bytes) -> io::Result<Self>;

    /// Reads what has arrived, and sends what keeps the connection alive. Fails if the peer has
    /// closed.
    fn look(&mut self) -> io::Result<()>;
}

/// An idle connection that speaks HTTP/2, or nothing.
struct IdleConnection {
    stream: TcpStream,
    /// When it was made, if it must be closed for its silence.
    silent_since: Option<Instant>,
    come: BytesMut,
}

async fn idle_http2(arena: Arena, kind: Idle) {
    idle::<IdleConnection>(arena, kind.greeting().take()).await;
}

/// Opens as many connections as it can, each with this greeting, and keeps them.
pub(super) async fn idle<C: IdleClient>(arena: Arena, greeting: Bytes) {
    arena
        .each(arena.connections(), move |arena, source| {
            let greeting = greeting.clone();
            async move {
                let share = CONNECTIONS / arena.connections();
                let mut connections = Vec::<C>::with_capacity(share);
                while !arena.is_over() {
                    fill(&arena, source, &greeting, &mut connections, share).await;
                    tokio::time::sleep(POLL.min(arena.left())).await;
                    connections.retain_mut(|connection| is_open(&arena, connection));
                }
            }
        })
        .await;
}

/// Looks at a connection. Returns whether it is still open.
fn is_open(arena: &Arena, connection: &mut impl IdleClient) -> bool {
    match connection.look() {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            arena.fail("a silent connection was not closed");
            false
        }
        Err(_) => {
            arena.found(|found| found.closed += 1);
            false
        }
    }
}

/// Connects until there are `share` connections, or the time is over.
async fn fill<C: IdleClient>(
    arena: &Arena,
    source: usize,
    greeting: &Bytes,
    connections: &mut Vec<C>,
    share: usize,
) {
    while connections.len() < share && !arena.is_over() {
        let connecting = async { C::begin(arena.connect(source).await?, greeting) };
        match tokio::time::timeout(CONNECT_BOUND, connecting).await {
            Ok(Ok(connection)) => connections.push(connection),
            _ => tokio::time::sleep(RECONNECT_PAUSE).await,
        }
    }
}

/// Reads what has arrived. Fails if the peer has closed.
pub(super) fn read_all(stream: &TcpStream, come: &mut BytesMut) -> io::Result<()> {
    loop {
        match stream.try_read_buf(come) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

impl IdleClient for IdleConnection {
    fn begin(stream: TcpStream, greeting: &Bytes) -> io::Result<Self> {
        if !greeting.is_empty() {
            // The greeting fits into the buffer of any socket.
            stream.try_write(greeting)?;
        }
        Ok(Self {
            stream,
            silent_since: greeting.is_empty().then(Instant::now),
            come: BytesMut::new(),
        })
    }

    fn look(&mut self) -> io::Result<()> {
        read_all(&self.stream, &mut self.come)?;
        let mut answers = FrameWriter::default();
        while let Some((head, payload)) = FrameHead::read(&mut self.come) {
            match head.kind {
                kind::PING if !head.has(flag::ACK) => drop(answers.ping(flag::ACK, &payload)),
                kind::SETTINGS if !head.has(flag::ACK) => drop(answers.settings_ack()),
                _ => {}
            }
        }
        if answers.len() > 0 {
            self.stream.try_write(&answers.take())?;
        }
        match self.silent_since {
            Some(since) if since.elapsed() > SILENCE_BOUND => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}
