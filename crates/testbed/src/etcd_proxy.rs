//! A proxy of etcd that knows its exchanges, and changes what becomes of them.

mod forward;
mod frames;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// Stands between clients and an etcd, and asks a rule about each part of each call.
///
/// It speaks HTTP/2 itself, so it answers pings also while etcd does not. Unlike [`Proxy`], it takes
/// no TLS. Dropped, it cuts all connections and takes no more.
///
/// [`Proxy`]: crate::Proxy
pub struct EtcdProxy {
    address: SocketAddr,
    state: Arc<ProxyState>,
    runtime: Option<Runtime>,
}

/// A part of a call, as a rule sees it.
#[derive(Debug, Clone, Copy)]
pub struct CallPart<'a> {
    /// The path of the method, such as `/etcdserverpb.KV/Range`.
    pub method: &'a str,
    /// Which part it is.
    pub kind: PartKind,
    /// The message, in the encoding of protobuf. Empty for headers and trailers.
    pub message: &'a [u8],
}

impl CallPart<'_> {
    /// Whether its message has these bytes in it: a key, for example.
    #[must_use]
    pub fn contains(&self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        self.message
            .windows(bytes.len().max(1))
            .any(|part| part == bytes)
    }

    /// Whether it is a message from etcd on a watch that says that the watch is created.
    #[must_use]
    pub fn is_created_reply(&self) -> bool {
        self.is_watch_reply() && frames::has_created_flag(self.message)
    }

    /// Whether it is a message from etcd on a watch that brings events.
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.is_watch_reply() && frames::has_events(self.message)
    }

    /// Whether it is a message from etcd on a watch that only tells its revision.
    #[must_use]
    pub fn is_progress(&self) -> bool {
        self.is_watch_reply() && !self.is_created_reply() && !self.has_events()
    }

    fn is_watch_reply(&self) -> bool {
        self.method == "/etcdserverpb.Watch/Watch" && self.kind == PartKind::Reply
    }
}

/// The kinds of parts of a call, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// A message from the client.
    Request,
    /// The headers of etcd's answer.
    Headers,
    /// A message from etcd.
    Reply,
    /// The trailers of etcd's answer, which end it. An answer that has only headers has none.
    Trailers,
}

/// What becomes of a part. Those behind it in the same direction wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on.
    Pass,
    /// It is passed on after so long.
    Delay(Duration),
    /// It is not passed on. Without its trailers, a call does not end.
    Swallow,
    /// In headers and trailers: gets a `grpc-status-details-bin` that is not base64. Headers then
    /// end the call, as unavailable.
    Poison,
}

type Rule = dyn Fn(CallPart<'_>) -> Fate + Send + Sync;

struct ProxyState {
    server: Mutex<SocketAddr>,
    rule: Mutex<Arc<Rule>>,
    open: AtomicUsize,
    accepted: AtomicU64,
    calls: AtomicU64,
    refusing: AtomicBool,
    cut: Notify,
}

impl EtcdProxy {
    /// A proxy of the etcd at this address. It passes everything on.
    ///
    /// # Panics
    ///
    /// If the system has no port or no thread for it.
    #[must_use]
    #[track_caller]
    pub fn of(server: SocketAddr) -> Self {
        let state = Arc::new(ProxyState {
            server: Mutex::new(server),
            rule: Mutex::new(Arc::new(|_| Fate::Pass)),
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            refusing: AtomicBool::new(false),
            cut: Notify::new(),
        });
        match Self::start(&state) {
            Ok((address, runtime)) => Self {
                address,
                state,
                runtime: Some(runtime),
            },
            Err(error) => panic!("a proxy of etcd does not start: {error}"),
        }
    }

    fn start(state: &Arc<ProxyState>) -> std::io::Result<(SocketAddr, Runtime)> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("etcd-proxy")
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::clone(state);
        runtime.spawn(async move {
            let Ok(listener) = TcpListener::from_std(listener) else {
                return;
            };
            while let Ok((client, _)) = listener.accept().await {
                state.accepted.fetch_add(1, Ordering::Relaxed);
                if !state.refusing.load(Ordering::Acquire) {
                    tokio::task::spawn(forward::serve(Arc::clone(&state), client));
                }
            }
        });
        Ok((address, runtime))
    }

    /// Where it takes clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a client of the library connects to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("etcd://{}", self.address)
    }

    /// From now on, this decides what becomes of each part. It is asked on the proxy's thread and
    /// must not block.
    pub fn set_rule(&self, rule: impl Fn(CallPart<'_>) -> Fate + Send + Sync + 'static) {
        *lock(&self.state.rule) = Arc::new(rule);
    }

    /// Passes everything on again. What was swallowed stays so.
    pub fn pass_all(&self) {
        self.set_rule(|_| Fate::Pass);
    }

    /// New connections go to this etcd.
    pub fn set_server(&self, server: SocketAddr) {
        *lock(&self.state.server) = server;
    }

    /// Cuts all connections. New ones are made as before.
    pub fn cut(&self) {
        self.state.cut.notify_waiters();
    }

    /// Cuts all connections and lets no new one live, until it is told otherwise.
    pub fn refuse(&self, refusing: bool) {
        self.state.refusing.store(refusing, Ordering::Release);
        if refusing {
            self.cut();
        }
    }

    /// The connections of clients that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.open.load(Ordering::Acquire)
    }

    /// How many connections clients have made so far, those that were refused included.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state.accepted.load(Ordering::Acquire)
    }

    /// How many calls clients have made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::Acquire)
    }
}

impl Drop for EtcdProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Also from within another runtime.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for EtcdProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdProxy")
            .field("address", &self.address)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl ProxyState {
    fn fate(&self, method: &str, kind: PartKind, message: &[u8]) -> Fate {
        let rule = Arc::clone(&lock(&self.rule));
        rule(CallPart {
            method,
            kind,
            message,
        })
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
