//! A proxy for a server whose connections can be cut.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Forwards bytes between clients and a server until it is asked to cut the connections.
///
/// When dropped, it cuts all connections and accepts no more.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    wires: Arc<Wires>,
}

#[derive(Debug)]
struct Wires {
    server: SocketAddr,
    /// Both ends of every connection made since the last cut.
    open: Mutex<Vec<TcpStream>>,
    refusing: AtomicBool,
    closed: AtomicBool,
    /// How many more bytes the server may send before all connections are cut.
    allowance: AtomicU64,
}

impl Proxy {
    /// Starts a proxy for the server at this address.
    ///
    /// # Panics
    ///
    /// Panics if the system has no port for it.
    #[must_use]
    #[track_caller]
    pub fn of(server: SocketAddr) -> Self {
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
            Ok(listener) => listener,
            Err(error) => panic!("no port for a proxy: {error}"),
        };
        let address = match listener.local_addr() {
            Ok(address) => address,
            Err(error) => panic!("a proxy has no address: {error}"),
        };
        let wires = Arc::new(Wires {
            server,
            open: Mutex::default(),
            refusing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            allowance: AtomicU64::new(u64::MAX),
        });
        let shared = Arc::clone(&wires);
        // Ends when the proxy is dropped.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.closed.load(Ordering::Acquire) {
                    return;
                }
                // A client whose server is away is disconnected.
                let _ = shared.connect(client);
            }
        });
        Self { address, wires }
    }

    /// Returns the address at which it accepts clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections. New ones are accepted as before.
    pub fn cut(&self) {
        self.wires.cut();
    }

    /// Cuts all connections once the server has sent this many more bytes over them, and accepts
    /// new ones as before.
    pub fn cut_after(&self, bytes: u64) {
        self.wires.allowance.store(bytes, Ordering::Release);
    }

    /// Cuts all connections and, while `refusing`, every new one at once.
    pub fn refuse(&self, refusing: bool) {
        self.wires.refusing.store(refusing, Ordering::Release);
        if refusing {
            self.cut();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.wires.closed.store(true, Ordering::Release);
        self.cut();
        // Wakes the thread that accepts clients.
        let _ = TcpStream::connect(self.address);
    }
}

impl Wires {
    fn connect(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        let server = TcpStream::connect(self.server)?;
        for end in [&client, &server] {
            end.set_nodelay(true)?;
        }
        let (to_server, to_client) = (server.try_clone()?, client.try_clone()?);
        let ends = [client.try_clone()?, server.try_clone()?];
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Checked under the lock, so that a cut either finds the ends or came before.
        if self.refusing.load(Ordering::Acquire) || self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        open.extend(ends);
        drop(open);
        let wires = Arc::clone(self);
        // Both threads end when one end of the connection does.
        thread::spawn(move || pass_on(client, to_server, |_| true));
        thread::spawn(move || pass_on(server, to_client, |bytes| wires.allows(bytes)));
        Ok(())
    }

    /// Whether the server may send this many more bytes.
    fn allows(&self, bytes: u64) -> bool {
        let less = |left: u64| (left != u64::MAX).then(|| left.saturating_sub(bytes));
        match self
            .allowance
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
        {
            Ok(left) if left <= bytes => {
                self.allowance.store(u64::MAX, Ordering::Release);
                self.cut();
                false
            }
            _ => true,
        }
    }

    fn cut(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for end in open.drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, allows: impl Fn(u64) -> bool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if !allows(read as u64) || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    for end in [from, to] {
        let _ = end.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts a server that echoes what it receives.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let copy = stream.try_clone().unwrap();
                thread::spawn(move || pass_on(stream, copy, |_| true));
            }
        });
        address
    }

    fn echoes(proxy: &Proxy) -> bool {
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        let mut heard = [0; 4];
        stream.write_all(b"word").is_ok()
            && stream.read_exact(&mut heard).is_ok()
            && heard == *b"word"
    }

    #[test]
    fn passes_on_until_it_cuts() {
        let proxy = Proxy::of(echo());
        assert!(echoes(&proxy));
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        stream.write_all(b"a").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        proxy.cut();
        assert!(!matches!(stream.read(&mut [0]), Ok(1)));
        assert!(echoes(&proxy));
        proxy.refuse(true);
        assert!(!echoes(&proxy));
        proxy.refuse(false);
        assert!(echoes(&proxy));
    }

    #[test]
    fn cuts_once_after_the_given_bytes() {
        let proxy = Proxy::of(echo());
        proxy.cut_after(6);
        assert!(echoes(&proxy));
        assert!(!echoes(&proxy));
        assert!(echoes(&proxy));
    }
}
