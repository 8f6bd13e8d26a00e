//! Tests of the registry on a real etcd, which the test bed locates. The tests start it themselves,
//! as they need it on given ports, with foreign data, and broken in more ways than a grid needs.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::etcd::{CONNECT_TIMEOUT, Etcd};
use super::{exchange, history};
use crate::environment::Environment;
use crate::registry::conformance::{Fixture, conformance_suite};
use crate::registry::{Backend as _, Registry, RegistryError, RegistryErrorKind};
use crate::wire::etcd::kv_client::KvClient;
use crate::wire::etcd::{CompactionRequest, CompactionResponse, ResponseHeader};

/// An etcd process, killed on drop.
struct EtcdServer {
    process: Child,
    ports: [u16; 2],
    folder: PathBuf,
}

impl EtcdServer {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(folder(), free_ports(), arguments)
    }

    fn start_in(folder: PathBuf, ports: [u16; 2], arguments: &[&str]) -> Self {
        let [client_port, peer_port] = ports;
        let (client, peer) = (
            format!("http://127.0.0.1:{client_port}"),
            format!("http://127.0.0.1:{peer_port}"),
        );
        let program = testbed::Etcd::program();
        let process = Command::new(&program)
            .arg(format!("--data-dir={}", folder.display()))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster=default={peer}"))
            .arg(format!("--initial-cluster-token={client_port}"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("etcd ({program:?}) does not start: {error}"));
        Self {
            process,
            ports,
            folder,
        }
    }

    /// Kills the process and starts it again with the same data and ports.
    fn restart(&mut self) {
        self.kill();
        *self = Self::start_in(std::mem::take(&mut self.folder), self.ports, &[]);
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(status.success());
    }

    fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    async fn connect(&self) -> Etcd {
        connect(&self.endpoint()).await
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
        // The path is empty if `restart` has passed the folder on.
        if !self.folder.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Returns the path of a folder that does not exist yet.
fn folder() -> PathBuf {
    static FOLDERS: AtomicU64 = AtomicU64::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let folder = format!("actorgrid-etcd-{}-{number}", std::process::id());
    std::env::temp_dir().join(folder)
}

fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Returns one of etcd's metrics, summed over its labels.
async fn metric(server: &EtcdServer, name: &str) -> usize {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::TcpStream::connect(server.endpoint())
        .await
        .unwrap();
    let get = b"GET /metrics HTTP/1.0\r\n\r\n";
    socket.write_all(get).await.unwrap();
    let mut metrics = String::new();
    socket.read_to_string(&mut metrics).await.unwrap();
    let named = |line: &&str| line.split([' ', '{']).next() == Some(name);
    let values = metrics.lines().filter(named);
    let values = values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() as usize
}

/// Spawns the tasks of hyper's servers in tests, which end with their connections.
#[derive(Clone)]
struct Spawner(Environment);

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn(future));
    }
}

/// Connects as soon as etcd is up.
async fn connect(rest: &str) -> Etcd {
    let environment = Environment::real();
    let connecting = async {
        loop {
            match Etcd::connect(&environment, rest).await {
                Ok(etcd) => return etcd,
                Err(error) if error.is_retryable() => {
                    environment.sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    let connected = environment.timeout(Duration::from_secs(30), connecting);
    connected.await.expect("etcd did not start in time")
}

/// A fixture with a separate etcd for each rule.
struct Conforming {
    registry: Registry,
    etcd: Arc<Etcd>,
    prefix: String,
    _server: EtcdServer,
}

impl Fixture for Conforming {
    async fn start() -> Self {
        let server = EtcdServer::start();
        let etcd = Arc::new(server.connect().await);
        static PREFIXES: AtomicU64 = AtomicU64::new(0);
        let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
        Self {
            registry: Registry::of(etcd.clone()),
            etcd,
            prefix: format!("conformance-{number}."),
            _server: server,
        }
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    async fn compact(&self) {
        self.etcd.compact().await;
    }

    async fn pass(&self, time: Duration) {
        Environment::real().sleep(time).await;
    }
}

impl exchange::Headed for CompactionResponse {
    fn header(&self) -> Option<&ResponseHeader> {
        self.header.as_ref()
    }
}

impl history::Dated for CompactionRequest {}

impl Etcd {
    async fn compact(&self) {
        let revision = self.list("").await.unwrap().revision;
        let request = CompactionRequest {
            revision: revision.get(),
            physical: true,
        };
        let compacted = self.cluster.exchange(
            exchange::Repetition::Never,
            &request,
            |transport, origin, request| {
                Box::pin(async move {
                    let mut client = KvClient::with_origin(transport, origin);
                    Ok(client.compact(request).await?.into_inner())
                })
            },
        );
        compacted.await.unwrap();
    }
}

mod conforms {
    use super::*;

    conformance_suite!(Conforming, tokio::test);
}

mod endpoints;
mod fake;
mod faults;
mod memory_etcd;
#[cfg(feature = "tls")]
mod secured;
mod watches;
