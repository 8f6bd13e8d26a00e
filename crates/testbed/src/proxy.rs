//! A connection that can be cut.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Stands between clients and a server: passes on what they say, until it is told to cut.
///
/// Dropped, it cuts all connections and takes no more.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    wires: Arc<Wires>,
}

#[derive(Debug)]
struct Wires {
    server: SocketAddr,
    /// Both ends of every connection that was made since the last cut.
    open: Mutex<Vec<TcpStream>>,
    refusing: AtomicBool,
    closed: AtomicBool,
    /// Bytes that the server may still say.
    allowance: AtomicU64,
}

impl Proxy {
    /// A proxy of the server at this address.
    ///
    /// # Panics
    ///
    /// If the system has no port for it.
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
                // A client whose server is away is hung up on.
                let _ = shared.connect(client);
            }
        });
        Self { address, wires }
    }

    /// Where it takes clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections. New ones are made as before.
    pub fn cut(&self) {
        self.wires.cut();
    }

    /// Cuts all connections once the server has said so many more bytes over them, and takes new
    /// ones as before.
    pub fn cut_after(&self, bytes: u64) {
        self.wires.allowance.store(bytes, Ordering::Release);
    }

    /// Cuts all connections and lets no new one live, until it is told otherwise.
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
        // Wakes the thread that takes clients.
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
        // Asked under the lock, so that a cut either finds the ends or was before.
        if self.refusing.load(Ordering::Acquire) || self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        open.extend(ends);
        drop(open);
        let wires = Arc::clone(self);
        // Both end when one end of the connection does.
        thread::spawn(move || pass_on(client, to_server, |_| true));
        thread::spawn(move || pass_on(server, to_client, |bytes| wires.allows(bytes)));
        Ok(())
    }

    /// Whether the server may say so much more.
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

    /// Says back what it hears.
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

    fn says_back(proxy: &Proxy) -> bool {
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        let mut heard = [0; 4];
        stream.write_all(b"word").is_ok()
            && stream.read_exact(&mut heard).is_ok()
            && heard == *b"word"
    }

    #[test]
    fn passes_on_until_it_cuts() {
        let proxy = Proxy::of(echo());
        assert!(says_back(&proxy));
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        stream.write_all(b"a").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        proxy.cut();
        assert!(!matches!(stream.read(&mut [0]), Ok(1)));
        assert!(says_back(&proxy));
        proxy.refuse(true);
        assert!(!says_back(&proxy));
        proxy.refuse(false);
        assert!(says_back(&proxy));
    }

    #[test]
    fn cuts_once_after_so_many_bytes() {
        let proxy = Proxy::of(echo());
        proxy.cut_after(6);
        assert!(says_back(&proxy));
        assert!(!says_back(&proxy));
        assert!(says_back(&proxy));
    }
}
