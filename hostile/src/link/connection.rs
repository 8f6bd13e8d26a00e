//! One link of an attacker.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::frame::{LinkFrameHead, LinkFrames};
use super::hello::ClientHello;
use super::inbound::LinkInbound;
use super::request::LinkRequest;
use crate::arena::Arena;

/// How an attacker treats the bytes that the peer sends on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkReading {
    /// Reads everything, and returns the credit of replies.
    All,
    /// Reads, and returns no credit.
    NoCredit,
    /// Reads nothing from the socket.
    Nothing,
}

/// A link with one task that reads, and one that sends the answers that the protocol requires.
pub(crate) struct AttackerLink {
    pub(crate) arena: Arena,
    /// Frames that the next flush sends.
    pub(crate) out: LinkFrames,
    writer: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    state: Arc<LinkState>,
    last: u64,
    // Aborted when dropped. Without tasks nothing is read, and `_unread` keeps the socket open.
    _tasks: JoinSet<()>,
    _unread: Option<OwnedReadHalf>,
}

struct LinkState {
    inbound: Mutex<LinkInbound>,
    answers: Mutex<LinkFrames>,
    owes: Notify,
    changed: Notify,
}

impl AttackerLink {
    /// Connects from the source address that belongs to this index, greets, and waits for the
    /// peer's `Hello`, unless it reads nothing.
    pub(crate) async fn open(
        arena: &Arena,
        index: usize,
        hello: &ClientHello,
        reading: LinkReading,
    ) -> io::Result<Self> {
        let (reader, writer) = arena.connect(index).await?.into_split();
        let state = Arc::new(LinkState {
            inbound: Mutex::new(LinkInbound::new(reading == LinkReading::All)),
            answers: Mutex::default(),
            owes: Notify::new(),
            changed: Notify::new(),
        });
        let writer = Arc::new(tokio::sync::Mutex::new(writer));
        let mut tasks = JoinSet::new();
        let mut unread = Some(reader);
        if reading != LinkReading::Nothing
            && let Some(reader) = unread.take()
        {
            tasks.spawn(Arc::clone(&state).read(reader));
            tasks.spawn(Arc::clone(&state).answer(Arc::clone(&writer)));
        }
        let mut link = Self {
            arena: arena.clone(),
            out: LinkFrames::default(),
            writer,
            state,
            last: 0,
            _tasks: tasks,
            _unread: unread,
        };
        link.out.greet(hello);
        link.flush().await?;
        while reading != LinkReading::Nothing && link.inbound().limits().is_none() {
            link.check_open()?;
            link.changed().await;
        }
        Ok(link)
    }

    /// Returns what the peer has sent so far.
    pub(crate) fn inbound(&self) -> MutexGuard<'_, LinkInbound> {
        self.state.inbound()
    }

    /// Waits until the peer has sent more, which it may have done before the call.
    pub(crate) async fn changed(&self) {
        self.state.changed.notified().await;
    }

    /// Writes a request whether there is credit for it or not. Returns its number.
    pub(crate) fn request_anyway(&mut self, request: &LinkRequest<'_>) -> u64 {
        self.last += 1;
        self.out.request(self.last, request);
        self.arena.found(|found| found.streams += 1);
        self.last
    }

    /// Writes a request if there is credit for it. Returns its number.
    pub(crate) fn try_request(&mut self, request: &LinkRequest<'_>) -> Option<u64> {
        let is_allowed = self.inbound().spend(request.length());
        is_allowed.then(|| self.request_anyway(request))
    }

    /// The same, for a request whose ticket and end are followed.
    pub(crate) fn try_followed(&mut self, request: &LinkRequest<'_>) -> Option<u64> {
        let sequence = self.try_request(request)?;
        self.inbound().follow(sequence);
        Some(sequence)
    }

    /// Writes a request as soon as there is credit for it. Returns its number.
    pub(crate) async fn request(&mut self, request: &LinkRequest<'_>) -> io::Result<u64> {
        loop {
            if let Some(sequence) = self.try_request(request) {
                return Ok(sequence);
            }
            self.flush().await?;
            self.changed().await;
        }
    }

    /// Sends what was written, at the pace that the attacker is allowed.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.check_open()?;
        self.arena.pace();
        let bytes = self.out.take();
        self.arena.found(|found| found.bytes += bytes.len() as u64);
        self.writer.lock().await.write_all(&bytes).await
    }

    /// Makes the system reset the connection when the link is dropped.
    pub(crate) async fn reset_on_close(&self) -> io::Result<()> {
        self.writer.lock().await.as_ref().set_zero_linger()
    }

    pub(crate) fn check_open(&self) -> io::Result<()> {
        match self.inbound().is_closed {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }
}

impl LinkState {
    async fn read(self: Arc<Self>, mut reader: OwnedReadHalf) {
        let mut come = BytesMut::with_capacity(64 * 1024);
        while reader
            .read_buf(&mut come)
            .await
            .is_ok_and(|count| count > 0)
        {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            let mut inbound = self.inbound();
            let now = Instant::now();
            while let Some((head, rest)) = LinkFrameHead::read(&mut come) {
                inbound.frame(head, rest, now, &mut answers);
            }
            if answers.len() > 0 {
                self.owes.notify_one();
            }
            drop((inbound, answers));
            self.changed.notify_one();
        }
        self.inbound().is_closed = true;
        self.changed.notify_one();
    }

    /// Sends answers in turn with the frames of the attack, so that reading never waits for
    /// writing.
    async fn answer(self: Arc<Self>, writer: Arc<tokio::sync::Mutex<OwnedWriteHalf>>) {
        loop {
            self.owes.notified().await;
            let mut writer = writer.lock().await;
            let bytes = {
                let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
                answers.take()
            };
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }

    fn inbound(&self) -> MutexGuard<'_, LinkInbound> {
        self.inbound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
