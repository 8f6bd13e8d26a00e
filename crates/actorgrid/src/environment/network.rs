//! The network of an environment: sockets of the system, or of a simulation.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use super::listener::Listener;
use super::memory_network::MemoryNetwork;
use super::socket::Socket;
use crate::address::Address;

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
