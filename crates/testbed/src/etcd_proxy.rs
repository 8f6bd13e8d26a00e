//! A proxy for etcd that understands its calls, and can alter their parts.

mod forward;
mod frames;
mod rule;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

pub use rule::{CallPart, Fate, PartKind};
use rule::{ProxyState, lock};

/// Forwards calls between clients and an etcd, and asks a rule about each part of each call.
///
/// It speaks HTTP/2 itself, so it answers pings even while etcd does not. Unlike [`Proxy`], it does
/// not support TLS. When dropped, it cuts all connections and accepts no more.
///
/// [`Proxy`]: crate::Proxy
pub struct EtcdProxy {
    address: SocketAddr,
    state: Arc<ProxyState>,
    runtime: Option<Runtime>,
}

impl EtcdProxy {
    /// Starts a proxy for the etcd at this address. It forwards everything until a rule is set.
    ///
    /// # Panics
    ///
    /// Panics if the system has no port or no thread for it.
    #[must_use]
    #[track_caller]
    pub fn of(server: SocketAddr) -> Self {
        let state = Arc::new(ProxyState::new(server));
        match Self::start(&state) {
            Ok((address, runtime)) => Self {
                address,
                state,
                runtime: Some(runtime),
            },
            Err(error) => panic!("the proxy for etcd does not start: {error}"),
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

    /// Returns the address at which it accepts clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL with which a client of the library connects to it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("etcd://{}", self.address)
    }

    /// Sets the rule that decides the fate of each part from now on. The rule runs on the proxy's
    /// thread and must not block.
    pub fn set_rule(&self, rule: impl Fn(CallPart<'_>) -> Fate + Send + Sync + 'static) {
        *lock(&self.state.rule) = Arc::new(rule);
    }

    /// Forwards everything again. Parts that were swallowed stay lost.
    pub fn pass_all(&self) {
        self.set_rule(|_| Fate::Pass);
    }

    /// Connects new connections to this etcd.
    pub fn set_server(&self, server: SocketAddr) {
        *lock(&self.state.server) = server;
    }

    /// Cuts all connections. New ones are accepted as before.
    pub fn cut(&self) {
        self.state.cut.notify_waiters();
    }

    /// Cuts all connections and, while `refusing`, every new one at once.
    pub fn refuse(&self, refusing: bool) {
        self.state.refusing.store(refusing, Ordering::Release);
        if refusing {
            self.cut();
        }
    }

    /// Returns the number of open connections of clients.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.open.load(Ordering::Acquire)
    }

    /// Returns the number of connections that clients have made so far, including refused ones.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state.accepted.load(Ordering::Acquire)
    }

    /// Returns the number of calls that clients have made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::Acquire)
    }
}

impl Drop for EtcdProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Does not block, so it also works within another runtime.
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
