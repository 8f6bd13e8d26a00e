//! One etcd with one grid on it, of this version of our library and the previous one.

use std::path::PathBuf;
use std::process::Command;

use actorgrid::{Client, Registry};
use testbed::{Etcd, Transcript};

use crate::bed::{NAMESPACE, peer_options};
use crate::peer::{Peer, blocking};
use crate::programs::previous_program;
use crate::scripted_client::ScriptedClient;

/// A version of our library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The one before this one.
    Previous,
    /// This one.
    Current,
}

impl Version {
    /// Both versions.
    pub const BOTH: [Self; 2] = [Self::Previous, Self::Current];

    /// Returns its name, for the names of peers and actors.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Previous => "previous",
            Self::Current => "current",
        }
    }

    /// Returns the other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Previous => Self::Current,
            Self::Current => Self::Previous,
        }
    }
}

/// One etcd, one namespace, and the programs of two versions of our library.
#[derive(Debug)]
pub struct VersionBed {
    /// The etcd.
    pub etcd: Etcd,
    /// The output of the peers.
    pub transcript: Transcript,
    /// A client of this version, in this process.
    pub client: Client,
    peer_program: &'static str,
    client_program: &'static str,
}

impl VersionBed {
    /// Starts an etcd. The programs are those of this version.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be started, or the previous version is not built.
    pub async fn start(peer_program: &'static str, client_program: &'static str) -> Self {
        for name in ["rust-peer", "rust-client"] {
            let _ = previous_program(name);
        }
        let etcd = blocking(Etcd::start).await;
        let registry = match Registry::connect(&etcd.url()).await {
            Ok(registry) => registry,
            Err(error) => panic!("no registry: {error}"),
        };
        Self {
            client: Client::new(NAMESPACE, registry),
            transcript: Transcript::new(),
            etcd,
            peer_program,
            client_program,
        }
    }

    /// Starts a peer with these additional options, and waits until it serves.
    pub async fn serving(&self, version: Version, name: &str, options: &[&str]) -> Peer {
        let mut command = Command::new(match version {
            Version::Previous => previous_program("rust-peer"),
            Version::Current => PathBuf::from(self.peer_program),
        });
        command.args(peer_options(&self.etcd)).args(options);
        Peer::start(&self.transcript, name, &mut command)
            .serving()
            .await
    }

    /// Starts a client, which has no connections yet.
    #[must_use]
    #[track_caller]
    pub fn client(&self, version: Version) -> ScriptedClient {
        let mut command = tokio::process::Command::new(match version {
            Version::Previous => previous_program("rust-client"),
            Version::Current => PathBuf::from(self.client_program),
        });
        command
            .args(["--registry", &self.etcd.url()])
            .args(["--namespace", NAMESPACE]);
        ScriptedClient::start(command)
    }
}
