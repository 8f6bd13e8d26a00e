//! The network of an environment: the system's sockets, or those of a simulation.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
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
                let stream = connect_tcp(address).await?;
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

/// Connects over TCP. tokio looks up host names on a thread for blocking calls, and panics if the
/// system has none left; that is a failed connect, and must not end the task that tries it.
async fn connect_tcp(address: &Address) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect((address.host(), address.port()));
    let connected = AssertUnwindSafe(connecting).catch_unwind().await;
    connected.unwrap_or_else(|_| {
        let text = format!("no thread is left to look {} up", address.host());
        Err(io::Error::other(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_up_that_gets_no_thread_fails_the_connect() {
        // No machine has this much memory, so the runtime gets no thread for blocking calls.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_stack_size(1 << 46)
            .build();
        let address = "localhost:1".parse().unwrap();
        let error = runtime
            .unwrap()
            .block_on(Network::Tcp.connect(&address))
            .unwrap_err();
        assert!(error.to_string().contains("localhost"), "{error}");
    }
}
