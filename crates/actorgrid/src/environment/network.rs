use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::address::Address;

/// Connections that wait to be accepted in a simulated listener, as a kernel's backlog.
const BACKLOG: usize = 128;
/// Bytes that a simulated connection holds each way.
const PIPE_BYTES: usize = 64 * 1024;
/// The first port that a simulated network gives out.
const FIRST_PORT: u16 = 40_000;

#[derive(Clone)]
pub(super) enum Network {
    Tcp,
    Memory(MemoryNetwork),
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Memory(_) => "memory",
        })
    }
}

impl Network {
    pub(super) async fn connect(&self, address: &Address) -> io::Result<Socket> {
        match self {
            Self::Tcp => {
                let stream = TcpStream::connect((address.host(), address.port())).await?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Self::Memory(network) => network.connect(address).await,
        }
    }

    pub(super) async fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        match self {
            Self::Tcp => Ok(Listener::Tcp(TcpListener::bind(address).await?)),
            Self::Memory(network) => network.listen(address),
        }
    }
}

/// The listeners of a simulation, by port.
#[derive(Clone, Default)]
pub(super) struct MemoryNetwork {
    ports: Arc<Mutex<HashMap<u16, mpsc::Sender<DuplexStream>>>>,
}

impl MemoryNetwork {
    async fn connect(&self, address: &Address) -> io::Result<Socket> {
        let backlog = self.lock().get(&address.port()).cloned();
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        backlog
            .ok_or_else(refused)?
            .send(theirs)
            .await
            .map_err(|_| refused())?;
        Ok(Socket::Memory(ours))
    }

    fn listen(&self, mut address: SocketAddr) -> io::Result<Listener> {
        let mut ports = self.lock();
        ports.retain(|_, backlog| !backlog.is_closed());
        if address.port() == 0 {
            let free = (FIRST_PORT..u16::MAX).find(|port| !ports.contains_key(port));
            address.set_port(free.ok_or(io::ErrorKind::AddrNotAvailable)?);
        } else if ports.contains_key(&address.port()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, backlog) = mpsc::channel(BACKLOG);
        ports.insert(address.port(), sender);
        Ok(Listener::Memory { address, backlog })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u16, mpsc::Sender<DuplexStream>>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where connections arrive.
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

    /// The next connection. Cancel safe.
    pub(crate) async fn accept(&mut self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Self::Memory { backlog, .. } => match backlog.recv().await {
                Some(stream) => Ok(Socket::Memory(stream)),
                None => Err(io::ErrorKind::NotConnected.into()),
            },
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Memory(DuplexStream),
}

impl Socket {
    /// The address at the other end; a simulated connection has none.
    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Memory(_) => None,
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
