//! The socket of a link, as its one task drives it: reading, and writing what others have encoded.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, ReadHalf};

use super::outbox::{Batch, LinkWriter, Outbox, release_room, spare};
use crate::route::transport::Transport;

/// The room for a read while little comes, so that an idle link costs little.
const SMALL_READ_BYTES: usize = 4 * 1024;
/// The room for a read when reads fill it.
const LARGE_READ_BYTES: usize = 128 * 1024;

/// A link whose send buffer is shared.
pub(super) trait HasOutbox {
    /// Runs something with the send buffer locked.
    fn with_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> R;
}

/// An event on the socket of a link.
#[derive(Debug)]
pub(super) enum IoEvent {
    /// This many bytes were appended to the read buffer.
    Read(usize),
    /// Everything that was to be written is: nothing is left. Reported only where that is wanted.
    Flushed,
    /// A batch is written, of which more may follow. Reported only while nothing is read, as that
    /// may depend on what waits to be written.
    Written,
    /// Somebody has called for the link's task.
    Attention,
    /// The other side has closed its side, or the socket has failed.
    Ended(io::Result<()>),
}

/// How a link is driven at the moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct IoMode {
    /// Whether anything is read.
    pub(super) reads: bool,
    /// Whether [`IoEvent::Flushed`] is reported.
    pub(super) reports_flush: bool,
}

/// The socket of a link.
pub(super) struct LinkIo {
    reader: ReadHalf<Transport>,
    /// Here while a batch is written. Otherwise it is in the send buffer, for all who send.
    writer: Option<LinkWriter>,
    batch: Batch,
    /// Whether others have had their turn before the next batch is taken.
    has_yielded: bool,
    /// Whether something was written since the last [`IoEvent::Flushed`].
    has_written: bool,
    read_bytes: usize,
    max_read_bytes: usize,
    written: u64,
    is_blocked: bool,
}

impl LinkIo {
    pub(super) fn new(transport: Transport) -> Self {
        let (reader, writer) = tokio::io::split(transport);
        Self {
            reader,
            writer: Some(writer),
            batch: Batch::default(),
            has_yielded: false,
            has_written: false,
            read_bytes: SMALL_READ_BYTES,
            max_read_bytes: LARGE_READ_BYTES,
            written: 0,
            is_blocked: false,
        }
    }

    /// The bytes that were written so far, as far as this task knows.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Whether the socket takes nothing of what waits for it.
    pub(super) const fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// The bytes of urgent frames in what was taken to be written and is not.
    pub(super) const fn urgent_bytes(&self) -> usize {
        self.batch.urgent
    }

    /// Whether nothing is left of what was taken to be written.
    pub(super) fn is_idle(&self) -> bool {
        self.batch.bytes.is_empty()
    }

    /// Little comes at the moment: the next read needs little room.
    pub(super) fn expect_little(&mut self, buffer: &mut BytesMut) {
        self.read_bytes = SMALL_READ_BYTES;
        if buffer.is_empty() {
            *buffer = BytesMut::new();
        } else if buffer.capacity() > buffer.len() + 2 * SMALL_READ_BYTES {
            // A part of a frame keeps its own room, and none for others.
            let mut less = BytesMut::with_capacity(buffer.len() + SMALL_READ_BYTES);
            less.extend_from_slice(buffer);
            *buffer = less;
        }
        release_room(&mut self.batch.bytes);
    }

    /// Reads no more than this at a time.
    pub(super) fn limit_reads(&mut self, bytes: usize, buffer: &mut BytesMut) {
        self.max_read_bytes = bytes.clamp(SMALL_READ_BYTES, LARGE_READ_BYTES);
        if self.read_bytes > self.max_read_bytes {
            self.read_bytes = self.max_read_bytes;
            if buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
    }

    /// Drives the socket until something happens. Cancel safe.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        link: &impl HasOutbox,
        mode: IoMode,
        buffer: &mut BytesMut,
    ) -> Poll<IoEvent> {
        loop {
            match self.poll_flush(cx, link) {
                Poll::Ready(Ok(Flush::Yield)) => return Poll::Pending,
                Poll::Ready(Ok(Flush::Attention)) => return Poll::Ready(IoEvent::Attention),
                Poll::Ready(Ok(Flush::Done)) => {
                    if mode.reports_flush && std::mem::take(&mut self.has_written) {
                        return Poll::Ready(IoEvent::Flushed);
                    }
                }
                Poll::Ready(Ok(Flush::Rest)) if !mode.reads => {
                    return Poll::Ready(IoEvent::Written);
                }
                Poll::Ready(Ok(Flush::Rest)) | Poll::Pending => {}
                Poll::Ready(Err(error)) => return Poll::Ready(IoEvent::Ended(Err(error))),
            }
            if mode.reads
                && let Poll::Ready(event) = self.poll_read(cx, buffer)
            {
                return Poll::Ready(event);
            }
            if self.is_blocked {
                return Poll::Pending;
            }
            if mode.reports_flush && self.has_written {
                // Whether that was all shows when the next batch is taken.
                continue;
            }
            let paid = std::mem::take(&mut self.batch.paid);
            let writer = &mut self.writer;
            let sleeps = link.with_outbox(|outbox| {
                outbox.put_back(writer, paid);
                outbox.sleep(cx.waker(), mode.reports_flush)
            });
            if sleeps {
                return Poll::Pending;
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<IoEvent> {
        if buffer.capacity() - buffer.len() < self.read_bytes / 2 {
            buffer.reserve(self.read_bytes);
        }
        let room = buffer.capacity() - buffer.len();
        let read = ready!(pin!(self.reader.read_buf(buffer)).poll(cx));
        Poll::Ready(match read {
            Ok(0) => IoEvent::Ended(Ok(())),
            Ok(bytes) => {
                if bytes == room {
                    self.read_bytes = (2 * self.read_bytes).min(self.max_read_bytes);
                }
                IoEvent::Read(bytes)
            }
            Err(error) => IoEvent::Ended(Err(error)),
        })
    }

    /// Writes one batch. Yields once before it takes the batch: those who are about to answer do
    /// so, and all answers leave together.
    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        link: &impl HasOutbox,
    ) -> Poll<io::Result<Flush>> {
        if self.batch.bytes.is_empty() {
            match self.next_batch(link)? {
                Next::Nothing => return Poll::Ready(Ok(Flush::Done)),
                Next::Attention => return Poll::Ready(Ok(Flush::Attention)),
                Next::Yield => {
                    cx.waker().wake_by_ref();
                    return Poll::Ready(Ok(Flush::Yield));
                }
                Next::Batch => {}
            }
        }
        ready!(self.poll_write(cx))?;
        // Reading has its turn, then the rest.
        Poll::Ready(Ok(Flush::Rest))
    }

    fn next_batch(&mut self, link: &impl HasOutbox) -> io::Result<Next> {
        let Self {
            writer,
            batch,
            has_yielded,
            has_written,
            written,
            ..
        } = self;
        link.with_outbox(|outbox| {
            outbox.awake();
            // Nothing is left of the batch.
            outbox.put_back(writer, std::mem::take(&mut batch.paid));
            let by_others = outbox.take_written();
            *written += by_others;
            *has_written |= by_others > 0;
            if outbox.is_broken() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if outbox.take_attention() {
                return Ok(Next::Attention);
            }
            if !outbox.has_output() {
                *has_yielded = false;
                return Ok(Next::Nothing);
            }
            if !std::mem::replace(has_yielded, true) {
                return Ok(Next::Yield);
            }
            *has_yielded = false;
            let empty = spare(std::mem::take(&mut batch.bytes));
            *batch = outbox.take(empty);
            *writer = outbox.take_writer();
            Ok(Next::Batch)
        })
    }

    /// Writes the batch.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writer) = &mut self.writer else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        while !self.batch.bytes.is_empty() {
            match Pin::new(&mut *writer).poll_write(cx, &self.batch.bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(bytes)) => {
                    self.is_blocked = false;
                    self.written += bytes as u64;
                    match bytes == self.batch.bytes.len() {
                        // This keeps its room.
                        true => self.batch.bytes.clear(),
                        false => self.batch.bytes.advance(bytes),
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.is_blocked = true;
                    return Poll::Pending;
                }
            }
        }
        self.batch.charges.clear();
        self.batch.urgent = 0;
        self.has_written = true;
        Poll::Ready(Ok(()))
    }

    /// The whole socket again, to close it.
    pub(super) fn into_transport(mut self, link: &impl HasOutbox) -> Option<Transport> {
        if let Some(writer) = link.with_outbox(Outbox::take_writer) {
            self.writer = Some(writer);
        }
        Some(self.reader.unsplit(self.writer?))
    }
}

/// How far flushing has come.
enum Flush {
    Done,
    /// There is more, after others have had their turn.
    Rest,
    Yield,
    Attention,
}

/// The next thing to write.
enum Next {
    Nothing,
    Batch,
    Yield,
    Attention,
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Mutex;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::environment::{Simulation, Socket};
    use crate::route::budget::{BudgetLimits, ByteBudget, Purse};

    struct SharedOutbox(Mutex<Outbox>);

    impl HasOutbox for SharedOutbox {
        fn with_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> R {
            act(&mut self.0.lock().unwrap())
        }
    }

    /// A socket that its task drives, and its other end.
    async fn connected() -> (LinkIo, Socket) {
        let environment = Simulation::new(1).environment();
        let any = "127.0.0.1:0".parse().unwrap();
        let mut listener = environment.listen(any).await.unwrap();
        let address = listener.local_addr().unwrap().try_into().unwrap();
        let transport = Transport::connect(&environment, &address).await.unwrap();
        (LinkIo::new(transport), listener.accept().await.unwrap())
    }

    async fn read(socket: &mut Socket) -> Vec<u8> {
        let mut bytes = Vec::new();
        socket.read_buf(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test(start_paused = true)]
    async fn others_write_while_the_task_sleeps_and_what_it_has_written_is_refunded() {
        let (mut io, mut other_end) = connected().await;
        let budget = ByteBudget::new(BudgetLimits {
            total: 100_000,
            per_connection: 100_000,
        });
        let purse = Purse::new(&budget.connection(None));
        let link = SharedOutbox(Mutex::new(Outbox::paying(purse)));
        let mode = IoMode {
            reads: true,
            reports_flush: false,
        };
        let mut buffer = BytesMut::new();
        let mut sleeps = async |io: &mut LinkIo| {
            // Once it yields, and then it writes.
            for _ in 0..2 {
                let event = poll_fn(|cx| io.poll(cx, &link, mode, &mut buffer));
                assert!(event.now_or_never().is_none());
            }
        };
        let append = |bytes: &[u8]| {
            link.with_outbox(|outbox| {
                outbox.pay(20_000).unwrap();
                outbox.data().extend_from_slice(bytes);
                outbox.appended(1, true)
            })
        };
        // The socket is with the task, which has not run yet.
        assert!(append(b"first").is_none());
        assert!(link.with_outbox(|outbox| outbox.has_output()));
        sleeps(&mut io).await;
        assert_eq!(read(&mut other_end).await, b"first");
        let used = budget.current().queued;
        assert!(used < 20_000, "{used}");

        assert!(append(b"second").is_none(), "it is left to the task");
        assert_eq!(read(&mut other_end).await, b"second");
        sleeps(&mut io).await;
        assert_eq!(io.written(), 11);
    }
}
