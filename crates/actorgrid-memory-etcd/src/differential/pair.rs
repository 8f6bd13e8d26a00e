//! The two servers under comparison.

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::endpoint::Endpoint;
use super::observed_watch::ObservedWatch;
use super::operation::{Operation, Reply};
use crate::handle::MemoryEtcd;
use crate::wire::WatchCreateRequest;

/// A new etcd and a new server in memory, whose revisions begin alike.
pub(super) struct Pair {
    pub(super) real: Endpoint,
    pub(super) memory: Endpoint,
    pub(super) server: MemoryEtcd,
    serving: JoinHandle<std::io::Result<()>>,
    _etcd: testbed::Etcd,
}

impl Pair {
    #[allow(clippy::disallowed_methods)]
    pub(super) async fn start() -> Self {
        let etcd = tokio::task::spawn_blocking(testbed::Etcd::start)
            .await
            .unwrap();
        let server = MemoryEtcd::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = server.clone();
        let serving = tokio::spawn(async move { served.serve(listener).await });
        Self {
            real: Endpoint::connect(etcd.address()).await,
            memory: Endpoint::connect(address).await,
            server,
            serving,
            _etcd: etcd,
        }
    }

    /// Runs a step on both. Fails if the outcomes differ.
    pub(super) async fn run(&mut self, operation: &Operation, context: &str) -> Option<Reply> {
        let real = operation.run(&mut self.real).await;
        let memory = operation.run(&mut self.memory).await;
        assert_eq!(memory, real, "{context}: {operation:#?} (memory, etcd)");
        real.ok()
    }

    /// Opens a watch on both.
    pub(super) async fn watch(&mut self, create: &WatchCreateRequest) -> WatchPair {
        WatchPair {
            create: create.clone(),
            real: ObservedWatch::open(&mut self.real, create).await,
            memory: ObservedWatch::open(&mut self.memory, create).await,
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The same watch on both.
pub(super) struct WatchPair {
    create: WatchCreateRequest,
    real: ObservedWatch,
    memory: ObservedWatch,
}

impl WatchPair {
    /// Reads all up to a revision. Fails if the watches have delivered different things. Returns
    /// false if they have ended.
    pub(super) async fn compare(&mut self, revision: i64, context: &str) -> bool {
        self.real.read_to(revision).await;
        self.memory.read_to(revision).await;
        let (real, memory) = (&self.real.seen, &self.memory.seen);
        let create = &self.create;
        assert_eq!(memory, real, "{context}: {create:#?} (memory, etcd)");
        !self.real.has_ended()
    }
}
