//! Shared by the tests: an etcd, peers as processes, and a client.

#![allow(dead_code, clippy::unwrap_used)] // each test file uses a part

use std::process::Command;
use std::time::Duration;

use actorgrid::{ActorStart, Client, EchoMsg, Registry, RequestError};
use testbed::{Etcd, Line, Process, Resource, Token, Transcript};

pub(crate) const BOUND: Duration = Duration::from_secs(40);

pub(crate) struct Bed {
    pub(crate) etcd: Etcd,
    pub(crate) resource: Resource,
    pub(crate) transcript: Transcript,
    pub(crate) client: Client,
}

impl Bed {
    pub(crate) async fn start() -> Self {
        let etcd = tokio::task::spawn_blocking(Etcd::start).await.unwrap();
        eprintln!("etcd {}", etcd.version());
        let registry = Registry::connect(&etcd.url()).await.unwrap();
        Self {
            client: Client::new("acceptance", registry),
            resource: Resource::start(),
            transcript: Transcript::new(),
            etcd,
        }
    }

    /// Starts a peer with these additional options.
    pub(crate) fn peer(&self, name: &str, ttl: &str, options: &[&str]) -> Peer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grid-peer"));
        command
            .args(["--registry", &self.etcd.url(), "--lease-ttl", ttl])
            .args(["--resource", &self.resource.address().to_string()])
            .args(options);
        Peer {
            process: Process::start_in(&self.transcript, name, &mut command),
            transcript: self.transcript.clone(),
            name: name.to_owned(),
        }
    }

    /// Starts a peer and waits until it serves; also returns its name in the grid.
    pub(crate) fn serving(&self, name: &str, ttl: &str, options: &[&str]) -> (Peer, String) {
        let peer = self.peer(name, ttl, options);
        let ready = peer.wait_for("READY", BOUND);
        let id = ready.field("peer").unwrap().to_owned();
        (peer, id)
    }

    pub(crate) async fn start_holder(&self, peer: &str, name: &str) -> Result<(), RequestError> {
        self.client
            .start(peer, ActorStart::new(name, "holder"))
            .await
            .map(|_| ())
    }

    pub(crate) async fn ask(&self, name: &str, text: &str) -> Result<String, RequestError> {
        let answer = self.client.request(name, EchoMsg::new(text)).await?;
        Ok(answer.msg)
    }

    /// Asserts that each token that the resource accepted for the name was at least as great as all
    /// those before.
    pub(crate) fn check_no_stale_holder_was_accepted(&self, name: &str) {
        let mut greatest: Option<Token> = None;
        for entry in self.resource.history() {
            if entry.name == name && entry.verdict == testbed::Verdict::Accepted {
                assert!(greatest.is_none_or(|greatest| greatest.revision <= entry.token.revision));
                greatest = Some(entry.token);
            }
        }
    }
}

pub(crate) struct Peer {
    pub(crate) process: Process,
    transcript: Transcript,
    name: String,
}

impl Peer {
    /// Waits for the first line of this process that begins with `begins`.
    pub(crate) fn wait_for(&self, begins: &str, bound: Duration) -> Line {
        self.wait_for_from(0, begins, bound)
    }

    /// Waits for the first such line at or after index `from` of the transcript.
    pub(crate) fn wait_for_from(&self, from: usize, begins: &str, bound: Duration) -> Line {
        let fits = |line: &Line| *line.process == *self.name && line.text.starts_with(begins);
        self.transcript.wait_for_line_from(from, fits, bound)
    }
}

/// Returns the token of a `HOLDER start` line.
pub(crate) fn token_of(line: &Line) -> Token {
    line.field("token").unwrap().parse().unwrap()
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns the number of rounds of the long tests: ROUNDS if it is set, otherwise two.
pub(crate) fn rounds() -> usize {
    std::env::var("ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2)
}
