//! The socket of an outgoing connection: it can be cut off, and counts reads and written bytes.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::route::transport::Transport;

/// The traffic of a socket.
#[derive(Debug, Default)]
pub(super) struct SocketTraffic {
    /// The number of reads that returned bytes.
    heard: AtomicUsize,
    /// The number of bytes written.
    written: AtomicUsize,
}

impl SocketTraffic {
    pub(super) fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }

    pub(super) fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    fn note_written(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.written.fetch_add(*bytes, Ordering::Relaxed);
        }
    }
}

/// A socket that fails once a token is cancelled. The failure ends the task that owns the socket,
/// which hyper has spawned. The socket also reports when the first bytes have arrived.
pub(super) struct CalledSocket {
    socket: Transport,
    severed: Pin<Box<WaitForCancellationFutureOwned>>,
    token: CancellationToken,
    spoken: Option<oneshot::Sender<()>>,
    traffic: Arc<SocketTraffic>,
}

impl CalledSocket {
    /// Wraps a socket. The returned receiver fails if the socket is dropped before any bytes have
    /// arrived.
    pub(super) fn new(
        socket: Transport,
        token: CancellationToken,
        traffic: Arc<SocketTraffic>,
    ) -> (Self, oneshot::Receiver<()>) {
        let (spoken, first) = oneshot::channel();
        let called = Self {
            socket,
            severed: Box::pin(token.clone().cancelled_owned()),
            token,
            spoken: Some(spoken),
            traffic,
        };
        (called, first)
    }

    fn check(&self) -> io::Result<()> {
        match self.token.is_cancelled() {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }
}

impl AsyncRead for CalledSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Polling also registers the task, so that a cancellation wakes it while it waits to write.
        if self.severed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.traffic.heard.fetch_add(1, Ordering::Relaxed);
            if let Some(spoken) = self.spoken.take() {
                let _ = spoken.send(());
            }
        }
        polled
    }
}

impl AsyncWrite for CalledSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.traffic.note_written(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.traffic.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
