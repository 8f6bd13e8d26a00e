//! The CPU time of the whole machine, to notice what others used of it.

use std::io;

use crate::noise::Noise;
use crate::process_cpu::ProcessCpu;

/// The time of all CPUs so far, in the kernel's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemCpu {
    /// User and system time of all processes. Interrupts do not count: those of the loopback are
    /// caused by the load itself.
    processes: u64,
    /// Time in which the hypervisor ran something else.
    steal: u64,
    total: u64,
}

impl SystemCpu {
    /// Reads `/proc/stat`.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn read() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        Self::parse(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The shares of all CPU time since `earlier` that others had.
    /// `own` is what the load's own processes used.
    #[must_use]
    pub fn noise_since(self, earlier: Self, own: ProcessCpu) -> Noise {
        let total = self.total.saturating_sub(earlier.total).max(1) as f64;
        let processes = self.processes.saturating_sub(earlier.processes);
        Noise {
            foreign_share: processes.saturating_sub(own.ticks()) as f64 / total,
            steal_share: self.steal.saturating_sub(earlier.steal) as f64 / total,
        }
    }

    fn parse(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = fields
            .split_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        // The fields that follow, the time of guests, are part of user and nice.
        let [
            user,
            nice,
            system,
            _idle,
            _wait,
            _interrupts,
            _soft_interrupts,
            steal,
            ..,
        ] = ticks[..]
        else {
            return None;
        };
        Some(Self {
            processes: user + nice + system,
            steal,
            total: ticks[..8].iter().sum(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_what_others_used_and_what_was_stolen() {
        let before = SystemCpu::parse("cpu  100 0 50 800 10 5 5 30 7 0\ncpu0 1 2\n").unwrap();
        let after = SystemCpu::parse("cpu  160 10 80 870 10 5 5 60 9 0\n").unwrap();
        let noise = after.noise_since(before, ProcessCpu::from_ticks(80));
        assert_eq!((noise.foreign_share, noise.steal_share), (0.1, 0.15));
        let noise = after.noise_since(before, ProcessCpu::from_ticks(1000));
        assert_eq!((noise.foreign_share, noise.steal_share), (0.0, 0.15));
        assert_eq!(SystemCpu::parse("cpu 1 2 3"), None);
    }
}
