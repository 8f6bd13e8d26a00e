//! Accepts connections, from the system's network or a simulated one.

use std::io;
use std::net::SocketAddr;

use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::socket::Socket;

/// Accepts connections.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Memory {
        address: SocketAddr,
        backlog: mpsc::Receiver<DuplexStream>,
    },
}

impl Listener {
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Memory { address, .. } => Ok(*address),
        }
    }

    /// Waits for the next connection. Cancel safe.
    pub(crate) async fn accept(&mut self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Fails if the client has already disconnected, which reading will show.
                let _ = stream.set_nodelay(true);
                Ok(Socket::Tcp(stream))
            }
            Self::Memory { backlog, .. } => match backlog.recv().await {
                Some(stream) => Ok(Socket::Memory(stream)),
                None => Err(io::ErrorKind::NotConnected.into()),
            },
        }
    }
}
