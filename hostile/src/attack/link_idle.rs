//! More links than a peer accepts connections, all of them idle.

use std::io;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::net::TcpStream;

use super::attack::Attack;
use super::idle::{IdleClient, idle, read_all};
use crate::arena::Arena;
use crate::link::{ClientHello, LinkFrames, LinkRequest, LinkText, echo_body};
use crate::peer::{MIRROR, SILENT};

/// An idle client sends a ping every 5 s.
const PING_PAUSE: Duration = Duration::from_millis(4_500);
/// The bytes of what was read that are kept.
const MAX_COME_BYTES: usize = 1024;
/// The bytes of each echo before a link is idle.
const ECHOED: usize = 60_000;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "idle-links",
        "4,200 links that send pings and ask for nothing",
        |arena| Box::pin(idle_links(arena, |_| LinkFrames::default())),
    )
    .with_connections(&[1, 16])
    .lasts(12)
    .while_etcd_is_away(),
    Attack::new(
        "idle-links-one-request",
        "4,200 links with one request to an actor that never answers",
        |arena| Box::pin(idle_links(arena, one_request)),
    )
    .with_connections(&[1, 16])
    .lasts(12)
    .while_etcd_is_away(),
    Attack::new(
        "idle-links-names",
        "4,200 links that define the greatest ids of names and types",
        |arena| Box::pin(idle_links(arena, greatest_ids)),
    )
    .with_connections(&[1, 16])
    .lasts(12),
    Attack::new(
        "idle-links-buffers",
        "4,200 links that were busy with large requests and replies",
        |arena| Box::pin(idle_links(arena, large_echoes)),
    )
    .with_connections(&[1, 16])
    .lasts(12),
    Attack::new(
        "idle-links-half-frames",
        "4,200 links that send most of a large frame, and never its rest",
        |arena| Box::pin(idle_links(arena, half_frame)),
    )
    .with_connections(&[1, 16])
    .lasts(12),
];

/// Opens links, each of which sends these frames behind its `Hello`.
async fn idle_links(arena: Arena, write: fn(&Arena) -> LinkFrames) {
    let bytes = write(&arena).take();
    idle::<IdleLink>(arena, bytes).await;
}

fn one_request(arena: &Arena) -> LinkFrames {
    let mut frames = LinkFrames::default();
    let request = LinkRequest {
        millis: 3_600_000,
        ..LinkRequest::new(arena.token(SILENT), SILENT, b"")
    };
    frames.request(1, &request);
    frames
}

/// Whatever the limits are, one of the definitions is close below them.
fn greatest_ids(arena: &Arena) -> LinkFrames {
    let mut frames = LinkFrames::default();
    let token = arena.token(MIRROR);
    for (sequence, shift) in (0..13).enumerate() {
        let (name, id) = ("n".repeat(1_000), 1_u32 << shift);
        let request = LinkRequest {
            receiver: LinkText::Define(id, &name),
            message_type: LinkText::Define(id.min(1_024), "t"),
            ..LinkRequest::new(token, "", b"")
        };
        frames.request(1 + sequence as u64, &request);
    }
    frames
}

fn large_echoes(arena: &Arena) -> LinkFrames {
    let mut frames = LinkFrames::default();
    let body = echo_body(&"x".repeat(ECHOED));
    for sequence in 1..=2 {
        let request = LinkRequest::new(arena.token(MIRROR), MIRROR, &body);
        frames.request(sequence, &request);
    }
    frames
}

fn half_frame(arena: &Arena) -> LinkFrames {
    let mut whole = large_echoes(arena).take();
    whole.truncate(ECHOED);
    let mut frames = LinkFrames::default();
    frames.raw(&whole);
    frames
}

/// An idle link.
struct IdleLink {
    stream: TcpStream,
    unsent: Bytes,
    come: BytesMut,
    pinged: Instant,
    /// Whether a ping may be sent: not within a frame.
    pings: bool,
}

impl IdleClient for IdleLink {
    fn begin(stream: TcpStream, rest: &Bytes) -> io::Result<Self> {
        let mut frames = LinkFrames::default();
        frames.greet(&ClientHello::of_new_client()).raw(rest);
        let mut link = Self {
            stream,
            unsent: frames.take(),
            come: BytesMut::new(),
            pinged: Instant::now(),
            pings: rest.len() != ECHOED,
        };
        link.send()?;
        Ok(link)
    }

    fn look(&mut self) -> io::Result<()> {
        read_all(&self.stream, &mut self.come)?;
        if self.come.len() > MAX_COME_BYTES {
            self.come = BytesMut::new();
        }
        if self.unsent.is_empty() && self.pings && self.pinged.elapsed() > PING_PAUSE {
            self.pinged = Instant::now();
            self.unsent = LinkFrames::default().ping().take();
        }
        self.send()
    }
}

impl IdleLink {
    fn send(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.try_write(&self.unsent) {
                Ok(bytes) => self.unsent.advance(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
