//! Observes the byte stream of a connection for what HTTP/2 does not report: that bytes have
//! arrived, and why reading failed.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::io::Io;

/// Remembers why reading from a connection failed. HTTP/2 often reports only that the connection is
/// closed, whereas this error shows, for example, that etcd did not accept a client's certificate.
#[derive(Clone, Default)]
pub(super) struct Witness(Arc<Mutex<Option<io::Error>>>);

impl Witness {
    /// Wraps a byte stream, and reports to `activity` when bytes arrive.
    pub(super) fn watch(&self, io: Box<dyn Io>, activity: Arc<Activity>) -> WitnessedIo {
        let witness = self.clone();
        WitnessedIo {
            io,
            witness,
            activity,
        }
    }

    /// Takes the error with which reading failed, if it did.
    pub(super) fn take(&self) -> Option<io::Error> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<io::Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A byte stream that a [`Witness`] observes.
pub(super) struct WitnessedIo {
    io: Box<dyn Io>,
    witness: Witness,
    activity: Arc<Activity>,
}

impl AsyncRead for WitnessedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.heard();
        }
        read.map_err(|error| {
            let kind = error.kind();
            self.witness.lock().get_or_insert(error);
            kind.into()
        })
    }
}

impl AsyncWrite for WitnessedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
