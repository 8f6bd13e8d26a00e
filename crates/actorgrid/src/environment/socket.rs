//! A connection over the system's network or over a simulated one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A connection, real or simulated.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Memory(DuplexStream),
}

impl Socket {
    /// Returns the address of the other end; `None` for a simulated connection.
    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Memory(_) => None,
        }
    }

    /// Whether the other end has closed its sending side, even if some data has not been read yet.
    /// False if that is unknown: for a simulated connection, and on systems that do not report it.
    pub(crate) fn is_read_closed(&self) -> bool {
        match self {
            Self::Tcp(stream) => {
                let ready = stream.ready(Interest::READABLE).now_or_never();
                ready.is_some_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed()))
            }
            Self::Memory(_) => false,
        }
    }
}

macro_rules! on_either {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Tcp($stream) => $call,
            Socket::Memory($stream) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_either!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_either!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_either!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Memory(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;

    use crate::environment::Environment;

    #[tokio::test]
    async fn a_closed_connection_is_noticed_while_data_is_unread() {
        let environment = Environment::real();
        let listening = "127.0.0.1:0".parse().unwrap();
        let mut listener = environment.listen(listening).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let address = address.parse().unwrap();
        let (client, server) = tokio::join!(environment.connect(&address), listener.accept());
        let (mut client, server) = (client.unwrap(), server.unwrap());
        client.write_all(b"unread").await.unwrap();
        assert!(!server.is_read_closed());
        drop(client);
        while !server.is_read_closed() {
            environment.sleep(Duration::from_millis(1)).await;
        }
    }
}
