//! The CPU time that processes have used.

use std::io;

/// User and system time of a process, in the kernel's ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessCpu {
    ticks: u64,
}

impl ProcessCpu {
    /// The clock ticks per second that Linux reports to programs, whatever its own rate is.
    pub const TICKS_PER_SECOND: u64 = 100;

    /// Reads what a process has used so far.
    ///
    /// # Errors
    ///
    /// If there is no such process, or no `/proc`.
    pub fn of(process: u32) -> io::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        Self::parse(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// A time that a test makes up.
    #[cfg(test)]
    pub(crate) fn from_ticks(ticks: u64) -> Self {
        Self { ticks }
    }

    /// The time that two processes used together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let ticks = self.ticks + other.ticks;
        Self { ticks }
    }

    /// The time used since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        let ticks = self.ticks.saturating_sub(earlier.ticks);
        Self { ticks }
    }

    /// The ticks.
    #[must_use]
    pub fn ticks(self) -> u64 {
        self.ticks
    }

    /// The time in microseconds.
    #[must_use]
    pub fn micros(self) -> f64 {
        self.ticks as f64 * 1e6 / Self::TICKS_PER_SECOND as f64
    }

    /// The name of the program, in parentheses, may contain anything; what follows it is numbers.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        // The state comes first; user and system time are the 14th and 15th field of all.
        let mut times = fields.split_whitespace().skip(11);
        let user: u64 = times.next()?.parse().ok()?;
        let system: u64 = times.next()?.parse().ok()?;
        let ticks = user + system;
        Some(Self { ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0";
        let cpu = ProcessCpu::parse(stat).unwrap();
        assert_eq!(cpu.ticks(), 200);
        assert_eq!(cpu.micros(), 2e6);
        assert_eq!(ProcessCpu::parse("42 (a) S 1"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        ProcessCpu::of(std::process::id()).unwrap();
    }
}
