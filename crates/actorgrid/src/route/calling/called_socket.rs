//! The socket of a connection that was opened: it can be cut off, and reports that the peer speaks.

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

/// A socket that fails once a token is cancelled: hyper spawns the task that owns it, and this
/// ends that task. It reports when the first bytes have come.
pub(super) struct CalledSocket {
    socket: Transport,
    severed: Pin<Box<WaitForCancellationFutureOwned>>,
    token: CancellationToken,
    spoken: Option<oneshot::Sender<()>>,
    heard: Arc<AtomicUsize>,
}

impl CalledSocket {
    /// The receiver fails if the socket is dropped before anything has come.
    pub(super) fn new(
        socket: Transport,
        token: CancellationToken,
        heard: Arc<AtomicUsize>,
    ) -> (Self, oneshot::Receiver<()>) {
        let (spoken, first) = oneshot::channel();
        let called = Self {
            socket,
            severed: Box::pin(token.clone().cancelled_owned()),
            token,
            spoken: Some(spoken),
            heard,
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
        // Registers the task too, so that it is woken when it waits to write.
        if self.severed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.heard.fetch_add(1, Ordering::Relaxed);
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
        Pin::new(&mut self.socket).poll_write(cx, bytes)
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
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
