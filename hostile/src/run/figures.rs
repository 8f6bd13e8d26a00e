//! The figures of one round.

use std::fmt;
use std::time::Duration;

use crate::arena::Findings;
use crate::honest::{HonestFigures, HonestRoute};
use crate::peer::PeerReport;

/// More than this share of the machine's time must not go elsewhere, or latencies say nothing.
const MAX_STEAL: f64 = 0.02;

/// The figures of one round.
#[derive(Debug, Default)]
pub struct RoundFigures {
    /// The results of the honest callers.
    pub honest: HonestFigures,
    /// The findings of the attacker; `None` if it did not finish.
    pub findings: Option<Findings>,
    /// The peer's last report; `None` if it has ended.
    pub last: Option<PeerReport>,
    /// How long after the attack the peer's memory, descriptors and tasks had recovered; `None` if
    /// they had not within the bound.
    pub recovery: Option<Duration>,
    /// The share of the machine's time that its hypervisor gave to others during the attack.
    pub steal: f64,
}

impl RoundFigures {
    /// Whether so little of the machine was left that latencies say nothing about the peer.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        self.steal > MAX_STEAL
    }
}

impl fmt::Display for RoundFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let honest = &self.honest;
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "honest {}/{}", honest.calls, honest.failed())?;
        let (half, most) = (honest.latencies(0.5), honest.latencies(0.99));
        for (route, (p50, p99)) in HonestRoute::ALL.iter().zip(half.into_iter().zip(most)) {
            let (p50, p99) = (millis(p50), millis(p99));
            write!(f, ", {} p50 {p50:.1} p99 {p99:.1} ms", route.as_str())?;
        }
        write!(
            f,
            ", new {:.0} ms, large {:.0} ms",
            millis(honest.slowest_fresh),
            millis(honest.slowest_large),
        )?;
        if honest.busy_starts > 0 {
            write!(f, ", busy starts {}", honest.busy_starts)?;
        }
        if let Some(last) = &self.last {
            let (peak, fences) = (last.peak_rss_bytes >> 20, last.fences);
            write!(f, "; peak {peak} MiB, fences {fences}")?;
        }
        match self.recovery {
            Some(took) => write!(f, "; back in {:.1} s", took.as_secs_f64())?,
            None => f.write_str("; not back")?,
        }
        if self.is_disturbed() {
            write!(f, "; stolen {:.0} %", self.steal * 1e2)?;
        }
        match &self.findings {
            Some(found) => write!(
                f,
                "; attacker {:.0} % CPU, {} MB, {} streams, {} connections",
                found.cpu_share * 1e2,
                found.bytes / 1_000_000,
                found.streams,
                found.connections
            ),
            None => f.write_str("; no findings"),
        }
    }
}
