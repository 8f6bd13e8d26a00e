//! One connection of an attacker.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::frame::{FrameHead, FrameWriter, PREFACE};
use super::inbound::Inbound;
use crate::arena::Arena;

/// How an attacker treats the bytes that the peer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Reads everything, and gives all windows back.
    All,
    /// Reads and answers pings, but gives no window back.
    NoWindows,
    /// Reads nothing from the socket.
    Nothing,
}

/// How a connection begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    pub(crate) reading: Reading,
    pub(crate) settings: &'static [(u16, u32)],
    /// The window of the connection beyond the first 64 KiB.
    pub(crate) window: u32,
}

impl Opening {
    /// How a harmless client begins.
    pub(crate) const HONEST: Self = Self {
        reading: Reading::All,
        settings: &[],
        window: 1 << 30,
    };
}

/// A connection with one task that reads, and one that sends the answers that the protocol
/// requires.
pub(crate) struct Connection {
    pub(crate) arena: Arena,
    /// Frames that the next flush sends.
    pub(crate) out: FrameWriter,
    writer: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    state: Arc<State>,
    next_stream: u32,
    // Aborted when dropped. Without tasks nothing is read, and `_unread` keeps the socket open.
    _tasks: JoinSet<()>,
    _unread: Option<OwnedReadHalf>,
}

struct State {
    inbound: Mutex<Inbound>,
    answers: Mutex<FrameWriter>,
    owes: Notify,
    changed: Notify,
}

impl Connection {
    /// Connects from the source address that belongs to this index, and greets.
    pub(crate) async fn open(arena: &Arena, index: usize, opening: Opening) -> io::Result<Self> {
        let (reader, writer) = arena.connect(index).await?.into_split();
        let state = Arc::new(State {
            inbound: Mutex::new(Inbound::new(opening.reading == Reading::All)),
            answers: Mutex::default(),
            owes: Notify::new(),
            changed: Notify::new(),
        });
        let writer = Arc::new(tokio::sync::Mutex::new(writer));
        let mut tasks = JoinSet::new();
        let mut unread = Some(reader);
        if opening.reading != Reading::Nothing
            && let Some(reader) = unread.take()
        {
            tasks.spawn(Arc::clone(&state).read(reader));
            tasks.spawn(Arc::clone(&state).answer(Arc::clone(&writer)));
        }
        let mut connection = Self {
            arena: arena.clone(),
            out: FrameWriter::default(),
            writer,
            state,
            next_stream: 1,
            _tasks: tasks,
            _unread: unread,
        };
        connection.out.raw(PREFACE).settings(opening.settings);
        if opening.window > 0 {
            connection.out.window_update(0, opening.window);
        }
        connection.flush().await?;
        Ok(connection)
    }

    /// Returns what the peer has sent so far.
    pub(crate) fn inbound(&self) -> MutexGuard<'_, Inbound> {
        self.state.inbound()
    }

    /// Waits until the peer has sent more, which it may have done before the call.
    pub(crate) async fn changed(&self) {
        self.state.changed.notified().await;
    }

    /// Waits until the peer has sent its settings.
    pub(crate) async fn settled(&self) -> io::Result<()> {
        while self.inbound().max_streams() == usize::MAX {
            self.check_open()?;
            self.changed().await;
        }
        Ok(())
    }

    /// Returns the number of a new stream, whose end is not tracked.
    pub(crate) fn next_stream(&mut self) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        stream
    }

    /// Whether the stream numbers are practically used up.
    pub(crate) fn is_used_up(&self) -> bool {
        self.next_stream > 0x7fff_0000
    }

    /// Returns the number of a stream that is about to be opened, and tracks its end.
    pub(crate) fn remembered_stream(&mut self) -> u32 {
        let stream = self.next_stream();
        self.inbound().open(stream, Instant::now());
        self.arena.found(|found| found.streams += 1);
        stream
    }

    /// Opens a stream and tracks its end.
    pub(crate) fn open_stream(&mut self, block: &[u8], flags: u8) -> u32 {
        let stream = self.remembered_stream();
        self.out.headers(stream, block, flags);
        stream
    }

    /// Sends what was written, at the pace that the attacker is allowed.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.check_open()?;
        self.arena.pace();
        let bytes = self.out.take();
        self.arena.found(|found| found.bytes += bytes.len() as u64);
        self.writer.lock().await.write_all(&bytes).await
    }

    pub(crate) fn check_open(&self) -> io::Result<()> {
        match self.inbound().closed {
            Some(_) => Err(io::ErrorKind::ConnectionAborted.into()),
            None => Ok(()),
        }
    }
}

impl State {
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
            while let Some((head, payload)) = FrameHead::read(&mut come) {
                inbound.frame(head, &payload, now, &mut answers);
            }
            if answers.len() > 0 {
                self.owes.notify_one();
            }
            drop((inbound, answers));
            self.changed.notify_one();
        }
        self.inbound().closed = Some(Instant::now());
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

    fn inbound(&self) -> MutexGuard<'_, Inbound> {
        self.inbound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
