//! The thread that prints a peer's reports, whether or not its runtime makes progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actorgrid::ServerHandle;
use tokio::runtime::RuntimeMetrics;

use super::ledger::Ledger;
use super::process_status::ProcessStatus;
use super::report::PeerReport;

/// The word before each report on the standard output.
pub const REPORT: &str = "REPORT ";
/// How often a report is printed.
const INTERVAL: Duration = Duration::from_millis(100);

/// The sources of the figures in a report.
pub struct Figures {
    /// The server.
    pub server: ServerHandle,
    /// The runtime of the server.
    pub runtime: RuntimeMetrics,
    /// The records of its actors.
    pub ledger: Arc<Ledger>,
    /// Returns the number of bytes in use on the heap.
    pub live_bytes: fn() -> usize,
    /// The number of panics so far.
    pub panics: &'static AtomicU64,
}

impl Figures {
    fn report(&self) -> PeerReport {
        let statistics = self.server.statistics();
        let status = ProcessStatus::of(std::process::id()).unwrap_or_default();
        PeerReport {
            state: self.server.state().as_str().to_owned(),
            fences: statistics.sessions_fenced,
            fence_reason: self
                .server
                .fence_reason()
                .map(|reason| reason.as_str().to_owned()),
            leader: self.ledger.leader().map(|token| token.to_string()),
            live_bytes: (self.live_bytes)() as u64,
            tasks: self.runtime.num_alive_tasks() as u64,
            descriptors: status.descriptors,
            rss_bytes: status.rss_bytes,
            peak_rss_bytes: status.peak_rss_bytes,
            panics: self.panics.load(Ordering::Relaxed),
            echoed: self.ledger.echoed(),
            forbidden: self.ledger.forbidden(),
            statistics: format!("{statistics:?}"),
        }
    }
}

/// Prints reports until the process ends, on a dedicated thread.
pub fn print_reports(figures: Figures) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        loop {
            match serde_json::to_string(&figures.report()) {
                Ok(report) => println!("{REPORT}{report}"),
                Err(error) => eprintln!("hostile-peer: no report: {error}"),
            }
            std::thread::sleep(INTERVAL);
        }
    })
}
