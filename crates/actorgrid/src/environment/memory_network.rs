//! The network of a simulation, within this process.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::listener::Listener;
use super::socket::Socket;
use crate::address::Address;

/// The number of connections that can wait until a simulated listener accepts them, like the
/// backlog in a kernel.
const BACKLOG: usize = 128;
/// The number of bytes that a simulated connection buffers in each direction.
const PIPE_BYTES: usize = 64 * 1024;
/// The first port that a simulated network assigns.
const FIRST_PORT: u16 = 40_000;

/// The listeners of a simulation, by port.
#[derive(Clone, Default)]
pub(super) struct MemoryNetwork {
    ports: Arc<Mutex<HashMap<u16, mpsc::Sender<DuplexStream>>>>,
}

impl MemoryNetwork {
    pub(super) async fn connect(&self, address: &Address) -> io::Result<Socket> {
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

    pub(super) fn listen(&self, mut address: SocketAddr) -> io::Result<Listener> {
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
