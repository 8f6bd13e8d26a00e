//! One etcd with one grid on it.

use std::process::{Command, ExitStatus};
use std::time::Duration;

use actorgrid::{Client, Registry};
use testbed::{Etcd, Line, Process, Transcript};

use crate::go_client::GoClient;
use crate::programs::go_program;

/// The namespace of the grid.
pub const NAMESPACE: &str = "interop";

/// Longer than anything takes here: a Go peer looks for a leader only every half minute.
const BOUND: Duration = Duration::from_secs(90);

/// Returns a duration of this many seconds.
#[must_use]
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The library that a peer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The Go library.
    Go,
    /// Our library.
    Rust,
}

/// One etcd, one namespace, and a client of each library.
#[derive(Debug)]
pub struct Bed {
    /// The etcd.
    pub etcd: Etcd,
    /// The output of the peers.
    pub transcript: Transcript,
    /// A client of the Go library.
    pub go: GoClient,
    /// A client of our library.
    pub rust: Client,
    rust_peer: &'static str,
}

impl Bed {
    /// Starts an etcd and the clients. `rust_peer` is the program of our peers.
    ///
    /// # Panics
    ///
    /// Panics if one of them cannot be started.
    pub async fn start(rust_peer: &'static str) -> Self {
        let etcd = blocking(Etcd::start).await;
        let registry = match Registry::connect(&etcd.url()).await {
            Ok(registry) => registry,
            Err(error) => panic!("no registry: {error}"),
        };
        Self {
            go: GoClient::start(&etcd.address().to_string(), NAMESPACE),
            rust: Client::new(NAMESPACE, registry),
            transcript: Transcript::new(),
            etcd,
            rust_peer,
        }
    }

    /// Starts a peer with these additional options, without waiting until it serves.
    #[must_use]
    #[track_caller]
    pub fn peer(&self, kind: Kind, name: &str, options: &[&str]) -> Peer {
        let mut command = match kind {
            Kind::Go => {
                let mut command = Command::new(go_program("peer"));
                command
                    .args(["-etcd", &self.etcd.address().to_string()])
                    .args(["-namespace", NAMESPACE]);
                command
            }
            Kind::Rust => {
                let mut command = Command::new(self.rust_peer);
                command.args(["--registry", &self.etcd.url()]).args([
                    "--namespace",
                    NAMESPACE,
                    "--lease-ttl",
                    "5s",
                ]);
                command
            }
        };
        command.args(options);
        Peer {
            process: Process::start_in(&self.transcript, name, &mut command),
            transcript: self.transcript.clone(),
            name: name.to_owned(),
            id: String::new(),
        }
    }

    /// Starts a peer and waits until it serves.
    pub async fn serving(&self, kind: Kind, name: &str, options: &[&str]) -> Peer {
        let mut peer = self.peer(kind, name, options);
        peer.id = peer.ready().await;
        peer
    }
}

/// A peer in its own process. It is killed when it is dropped.
#[derive(Debug)]
pub struct Peer {
    /// The process.
    pub process: Process,
    /// The peer's name in the grid, once it serves.
    pub id: String,
    transcript: Transcript,
    name: String,
}

impl Peer {
    /// Waits until it serves; returns its name in the grid.
    pub async fn ready(&self) -> String {
        let line = self.wait_for("READY").await;
        line.field("peer").unwrap_or_default().to_owned()
    }

    /// Returns its address.
    #[must_use]
    pub fn address(&self) -> String {
        let port = self.id.rsplit('-').next().unwrap_or_default();
        format!("127.0.0.1:{port}")
    }

    /// Waits for its first line that begins with `begins`.
    pub async fn wait_for(&self, begins: &'static str) -> Line {
        self.wait_for_from(0, begins).await
    }

    /// Waits for its first line that begins with `begins`, from index `from` of the transcript on.
    pub async fn wait_for_from(&self, from: usize, begins: &'static str) -> Line {
        let (transcript, name) = (self.transcript.clone(), self.name.clone());
        blocking(move || {
            let fits = |line: &Line| *line.process == *name && line.text.starts_with(begins);
            transcript.wait_for_line_from(from, fits, BOUND)
        })
        .await
    }

    /// Stops it gracefully, and waits until it has ended.
    pub async fn stop(mut self) -> ExitStatus {
        self.process.terminate();
        self.ended().await
    }

    /// Waits until it has ended.
    pub async fn ended(mut self) -> ExitStatus {
        blocking(move || self.process.wait(BOUND)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("{error}"),
        },
    }
}
