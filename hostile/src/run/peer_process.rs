//! The process of the peer that is attacked.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use actorgrid::BoxError;
use testbed::{Line, Process};

use crate::peer::{PeerReport, ProcessStatus, REPORT};

/// A peer serves within a second; a machine under load gets much more.
const START_BOUND: Duration = Duration::from_secs(30);
/// Reports come every tenth of a second, from a thread of their own.
const REPORT_BOUND: Duration = Duration::from_secs(5);
/// A peer that has taken this much is killed, for the sake of the machine. Its heap is limited as
/// well, but what the allocator keeps is not part of that.
const MAX_RSS_BYTES: u64 = 6 << 30;

/// A peer in a process of its own. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct PeerProcess {
    process: Process,
    /// The peer's name in the grid.
    pub(super) name: String,
    /// The address that it listens on.
    pub(super) address: SocketAddr,
}

impl PeerProcess {
    /// Starts the program, with a limit of descriptors if one is given, and waits until it serves.
    pub(super) fn start(
        program: &Path,
        registry: &str,
        lease_ttl: u64,
        descriptors: Option<u64>,
    ) -> Result<Self, BoxError> {
        let limit = match descriptors {
            // The soft and the hard limit.
            Some(descriptors) => format!("ulimit -n {descriptors} && "),
            None => String::new(),
        };
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{limit}exec \"$@\""))
            .arg("sh")
            .arg(program)
            .args(["--registry", registry])
            .args(["--lease-ttl", &lease_ttl.to_string()]);
        let process = Process::start(&mut command);
        let ready = |line: &Line| line.text.starts_with("READY");
        let ready = process
            .transcript()
            .find_line_from(0, ready, START_BOUND)
            .map_err(|why| format!("the peer was not ready {why}"))?;
        let field = |name| ready.field(name).ok_or("the peer does not say where it is");
        Ok(Self {
            name: field("peer")?.to_owned(),
            address: field("address")?.parse()?,
            process,
        })
    }

    /// The next report; `None` if the process has ended, or reports nothing any more.
    pub(super) fn report(&self) -> Option<PeerReport> {
        let transcript = self.process.transcript();
        let is_report = |line: &Line| line.text.starts_with(REPORT);
        let line = transcript
            .find_line_from(transcript.len(), is_report, REPORT_BOUND)
            .ok()?;
        serde_json::from_str(line.text.strip_prefix(REPORT)?).ok()
    }

    /// Lets the peak of its memory begin again. Where the system refuses, the peak is that of its
    /// whole life.
    pub(super) fn reset_peak(&self) {
        if let Err(error) = ProcessStatus::reset_peak(self.process.id()) {
            eprintln!("hostile: the peak of the memory is not reset: {error}");
        }
    }

    /// Whether it runs. Kills it if it has taken too much memory.
    pub(super) fn runs(&mut self) -> bool {
        if self.process.ended().is_some() {
            return false;
        }
        let status = ProcessStatus::of(self.process.id()).unwrap_or_default();
        if status.rss_bytes > MAX_RSS_BYTES {
            eprintln!(
                "hostile: the peer took {} bytes and is killed",
                status.rss_bytes
            );
            self.process.kill();
            return false;
        }
        true
    }
}
