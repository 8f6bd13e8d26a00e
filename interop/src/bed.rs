//! One etcd with one grid on it.

use std::process::Command;
use std::time::Duration;

use actorgrid::{Client, Registry};
use testbed::{Etcd, Transcript};

use crate::peer::{Peer, blocking};
use crate::programs::go_program;
use crate::scripted_client::ScriptedClient;

/// The namespace of the grid.
pub const NAMESPACE: &str = "interop";

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
    pub go: ScriptedClient,
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
        let mut go = tokio::process::Command::new(go_program("client"));
        go.args(["-etcd", &etcd.address().to_string()])
            .args(["-namespace", NAMESPACE]);
        Self {
            go: ScriptedClient::start(go),
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
                command.args(peer_options(&self.etcd));
                command
            }
        };
        command.args(options);
        Peer::start(&self.transcript, name, &mut command)
    }

    /// Starts a peer and waits until it serves.
    pub async fn serving(&self, kind: Kind, name: &str, options: &[&str]) -> Peer {
        self.peer(kind, name, options).serving().await
    }
}

/// The options of our peers in the grid on this etcd.
pub(crate) fn peer_options(etcd: &Etcd) -> [String; 6] {
    [
        "--registry",
        &etcd.url(),
        "--namespace",
        NAMESPACE,
        "--lease-ttl",
        "5s",
    ]
    .map(str::to_owned)
}
