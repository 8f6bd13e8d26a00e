//! The process of the peer under attack.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use actorgrid::BoxError;
use testbed::{Line, Process};

use crate::peer::{PeerReport, ProcessStatus, REPORT};

/// A peer serves within a second; a machine under load gets much more.
const START_BOUND: Duration = Duration::from_secs(30);
/// Reports are printed every tenth of a second, by a dedicated thread.
const REPORT_BOUND: Duration = Duration::from_secs(5);
/// A peer whose memory exceeds this is killed to protect the machine. Its heap is limited too, but
/// that does not include what the allocator retains.
const MAX_RSS_BYTES: u64 = 6 << 30;

/// A peer in its own process. It is killed when it is dropped.
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
        let field = |name| {
            ready
                .field(name)
                .ok_or("the peer does not report its name and address")
        };
        Ok(Self {
            name: field("peer")?.to_owned(),
            address: field("address")?.parse()?,
            process,
        })
    }

    /// Returns the next report; `None` if the process has ended, or stopped reporting.
    pub(super) fn report(&self) -> Option<PeerReport> {
        let transcript = self.process.transcript();
        let is_report = |line: &Line| line.text.starts_with(REPORT);
        let line = transcript
            .find_line_from(transcript.len(), is_report, REPORT_BOUND)
            .ok()?;
        serde_json::from_str(line.text.strip_prefix(REPORT)?).ok()
    }

    /// Resets the peak of its memory. If the system refuses, the peak covers its whole life.
    pub(super) fn reset_peak(&self) {
        if let Err(error) = ProcessStatus::reset_peak(self.process.id()) {
            eprintln!("hostile: the peak of the memory was not reset: {error}");
        }
    }

    /// Whether it runs. Kills it if it uses too much memory.
    pub(super) fn runs(&mut self) -> bool {
        if self.process.ended().is_some() {
            return false;
        }
        let status = ProcessStatus::of(self.process.id()).unwrap_or_default();
        if status.rss_bytes > MAX_RSS_BYTES {
            eprintln!(
                "hostile: killing the peer, which uses {} bytes",
                status.rss_bytes
            );
            self.process.kill();
            return false;
        }
        true
    }
}
