//! A peer in its own process.

use std::process::{Command, ExitStatus};
use std::time::Duration;

use testbed::{Line, Process, Transcript};

/// Longer than anything takes here: a Go peer looks for a leader only every half minute.
const BOUND: Duration = Duration::from_secs(90);

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
    /// Starts a peer, without waiting until it serves. Its lines go to the transcript under `name`.
    #[track_caller]
    pub(crate) fn start(transcript: &Transcript, name: &str, command: &mut Command) -> Self {
        // Some actors panic because a test asks them to: that is no news of many lines.
        command.env("RUST_BACKTRACE", "0");
        Self {
            process: Process::start_in(transcript, name, command),
            transcript: transcript.clone(),
            name: name.to_owned(),
            id: String::new(),
        }
    }

    /// Waits until it serves; returns its name in the grid.
    pub async fn ready(&self) -> String {
        let line = self.wait_for("READY").await;
        line.field("peer").unwrap_or_default().to_owned()
    }

    /// Waits until it serves.
    pub(crate) async fn serving(mut self) -> Self {
        self.id = self.ready().await;
        self
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

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("{error}"),
        },
    }
}
