//! One etcd with one grid on it.

use std::process::{Command, ExitStatus};
use std::time::Duration;

use actorgrid::{Client, Registry};
use testbed::{Etcd, Line, Process, Transcript};

use crate::go_client::GoClient;
use crate::programs::go_program;

/// The namespace of the grid.
pub const NAMESPACE: &str = "interop";

/// Longer than anything takes here: a Go peer waits half a minute between two looks for a leader.
const BOUND: Duration = Duration::from_secs(90);

/// So many seconds.
#[must_use]
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whose peer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of the Go library.
    Go,
    /// One of ours.
    Rust,
}

/// One etcd, one namespace, and a client of either kind.
#[derive(Debug)]
pub struct Bed {
    /// The etcd.
    pub etcd: Etcd,
    /// What the peers print.
    pub transcript: Transcript,
    /// A client of the Go library.
    pub go: GoClient,
    /// A client of ours.
    pub rust: Client,
    rust_peer: &'static str,
}

impl Bed {
    /// Starts an etcd and the clients. `rust_peer` is the program of our peers.
    ///
    /// # Panics
    ///
    /// If something of it cannot be had.
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

    /// Starts a peer with these further options, which is not awaited.
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

/// A peer in a process of its own. Dropped, it is killed.
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
    /// Waits until it serves, and gives its name in the grid.
    pub async fn ready(&self) -> String {
        let line = self.wait_for("READY").await;
        line.field("peer").unwrap_or_default().to_owned()
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        let port = self.id.rsplit('-').next().unwrap_or_default();
        format!("127.0.0.1:{port}")
    }

    /// Its first line that begins so.
    pub async fn wait_for(&self, begins: &'static str) -> Line {
        self.wait_for_from(0, begins).await
    }

    /// Its first line that begins so, from a line of the transcript on.
    pub async fn wait_for_from(&self, from: usize, begins: &'static str) -> Line {
        let (transcript, name) = (self.transcript.clone(), self.name.clone());
        blocking(move || {
            let fits = |line: &Line| *line.process == *name && line.text.starts_with(begins);
            transcript.wait_for_line_from(from, fits, BOUND)
        })
        .await
    }

    /// Stops it in order and waits for its end.
    pub async fn stop(mut self) -> ExitStatus {
        self.process.terminate();
        self.ended().await
    }

    /// Waits for its end.
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
