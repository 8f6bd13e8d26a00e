//! The CPU time that processes have used.

use std::io;

/// The flags of a process among its fields, of which the first is its state.
const FLAGS: usize = 6;
/// Its user time. Behind it are its system time, and both times of its children.
const USER_TIME: usize = 11;
/// The flag of a thread of the kernel.
const KERNEL_THREAD: u64 = 0x0020_0000;

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

    /// The time of all processes, and of their children that have ended. Threads of the kernel do
    /// not count: they do what the load itself has caused.
    pub(crate) fn of_all() -> io::Result<Self> {
        let mut ticks = 0;
        for entry in std::fs::read_dir("/proc")? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
                // One that has ended meanwhile counts as a child of its parent.
                let stat = std::fs::read_to_string(path.join("stat")).unwrap_or_default();
                ticks += Self::parse_with_children(&stat).unwrap_or_default().ticks;
            }
        }
        Ok(Self { ticks })
    }

    fn parse(stat: &str) -> Option<Self> {
        let ticks = times_of(stat, 2)?;
        Some(Self { ticks })
    }

    /// None for a thread of the kernel.
    fn parse_with_children(stat: &str) -> Option<Self> {
        let flags: u64 = fields_of(stat)?.nth(FLAGS)?.parse().ok()?;
        let ticks = times_of(stat, 4)?;
        (flags & KERNEL_THREAD == 0).then_some(Self { ticks })
    }
}

/// The fields after the name of the program, which is in parentheses and may contain anything.
fn fields_of(stat: &str) -> Option<impl Iterator<Item = &str>> {
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace())
}

/// The sum of the first so many times.
fn times_of(stat: &str, count: usize) -> Option<u64> {
    let mut times = fields_of(stat)?.skip(USER_TIME);
    let mut sum = 0;
    for _ in 0..count {
        sum += times.next()?.parse::<u64>().ok()?;
    }
    Some(sum)
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
    fn children_count_and_threads_of_the_kernel_do_not() {
        let of = |flags: u64| {
            let stat = format!("42 (a) S 1 2 3 4 5 {flags} 7 8 9 10 150 50 20 10 20 0 3 0");
            ProcessCpu::parse_with_children(&stat).map(ProcessCpu::ticks)
        };
        assert_eq!(of(0x0040_0000), Some(230));
        assert_eq!(of(KERNEL_THREAD | 0x40), None);
        assert_eq!(ProcessCpu::parse_with_children(""), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let this = ProcessCpu::of(std::process::id()).unwrap();
        assert!(ProcessCpu::of_all().unwrap().ticks() >= this.ticks());
    }
}
