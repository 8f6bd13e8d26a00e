//! The CPU time of the whole machine, to notice what others used of it.

use std::io;
use std::time::Instant;

use crate::noise::Noise;
use crate::process_cpu::ProcessCpu;

/// The time that all processes have used so far, and that the hypervisor took.
///
/// The kernel's figures for its CPUs come from looking at them on each tick: they are far off for
/// processes that run for moments, when a tick of the clock has woken them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemCpu {
    at: Instant,
    processes: ProcessCpu,
    /// Time in which the hypervisor ran something else, of all CPUs, in ticks.
    steal: u64,
    cpus: usize,
}

impl SystemCpu {
    /// Reads `/proc`.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn read() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        Ok(Self {
            processes: ProcessCpu::of_all()?,
            steal: steal_of(&stat).ok_or(io::ErrorKind::InvalidData)?,
            cpus: stat
                .lines()
                .skip(1)
                .filter(|line| line.starts_with("cpu"))
                .count(),
            at: Instant::now(),
        })
    }

    /// The shares of all CPU time since `earlier` that others had.
    /// `own` is what the load's own processes used.
    #[must_use]
    pub fn noise_since(self, earlier: Self, own: ProcessCpu) -> Noise {
        let share = |ticks: u64| {
            let second = ProcessCpu::TICKS_PER_SECOND * self.cpus.max(1) as u64;
            let all = second as f64 * self.at.duration_since(earlier.at).as_secs_f64();
            ticks as f64 / all.max(1.0)
        };
        let processes = self.processes.since(earlier.processes);
        Noise {
            foreign_share: share(processes.since(own).ticks()),
            steal_share: share(self.steal.saturating_sub(earlier.steal)),
        }
    }
}

/// The time that the hypervisor took of all CPUs, by the first line of `/proc/stat`.
fn steal_of(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    // User, nice, system, idle, wait, interrupts and soft interrupts come before it.
    fields.split_whitespace().nth(7)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn noise_is_what_others_used_and_what_was_stolen() {
        let before = SystemCpu {
            at: Instant::now(),
            processes: ProcessCpu::from_ticks(1_000),
            steal: 30,
            cpus: 2,
        };
        let after = SystemCpu {
            at: before.at + Duration::from_millis(500),
            processes: ProcessCpu::from_ticks(1_090),
            steal: 45,
            cpus: 2,
        };
        let noise = after.noise_since(before, ProcessCpu::from_ticks(80));
        assert_eq!((noise.foreign_share, noise.steal_share), (0.1, 0.15));
        let noise = after.noise_since(before, ProcessCpu::from_ticks(1000));
        assert_eq!((noise.foreign_share, noise.steal_share), (0.0, 0.15));
    }

    #[test]
    fn steal_is_the_eighth_field() {
        let stat = "cpu  100 0 50 800 10 5 5 30 7 0\ncpu0 1 2\n";
        assert_eq!(steal_of(stat), Some(30));
        assert_eq!(steal_of("cpu 1 2 3"), None);
    }

    #[test]
    fn this_machine_can_be_read() {
        let now = SystemCpu::read().unwrap();
        assert!(now.cpus > 0);
    }
}
