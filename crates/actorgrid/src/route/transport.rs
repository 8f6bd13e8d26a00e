//! The bytes of one connection, and its other end. This type wraps the sockets of both sides.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::caller::Caller;
use crate::address::Address;
use crate::environment::{Environment, Socket};

/// A connection that carries bytes.
pub(super) struct Transport {
    socket: Socket,
    /// Bytes that were read to find out what the connection speaks, and are read again.
    unread: Bytes,
}

impl Transport {
    /// Connects to a peer.
    pub(super) async fn connect(environment: &Environment, address: &Address) -> io::Result<Self> {
        let socket = environment.connect(address).await?;
        Ok(Self::accepted(socket))
    }

    /// Wraps a connection that a listener has accepted.
    pub(super) fn accepted(socket: Socket) -> Self {
        Self {
            socket,
            unread: Bytes::new(),
        }
    }

    /// These bytes, which were read, are read again first.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        self.unread = bytes;
    }

    /// Whether the other end has closed its sending side, though data may still be unread. False
    /// where that is not known.
    pub(super) fn is_read_closed(&self) -> bool {
        self.socket.is_read_closed()
    }

    /// Returns the caller at the other end.
    pub(super) fn caller(&self) -> Caller {
        Caller::remote(self.socket.peer_addr())
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let length = self.unread.len().min(buffer.remaining());
            buffer.put_slice(&self.unread.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
