//! The system's view of a process.

use std::io;

/// The memory and the descriptors of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessStatus {
    /// The resident memory.
    pub rss_bytes: u64,
    /// The peak of the resident memory since the last reset.
    pub peak_rss_bytes: u64,
    /// The number of open descriptors.
    pub descriptors: u64,
}

impl ProcessStatus {
    /// Reads the status of a process of the same user.
    ///
    /// # Errors
    ///
    /// Fails if there is no such process, or no `/proc`.
    pub fn of(process: u32) -> io::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let bytes = |field| bytes_of(&status, field).ok_or(io::ErrorKind::InvalidData);
        Ok(Self {
            rss_bytes: bytes("VmRSS:")?,
            peak_rss_bytes: bytes("VmHWM:")?,
            descriptors: std::fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64,
        })
    }

    /// Resets the peak to what is resident now.
    ///
    /// # Errors
    ///
    /// Fails as [`of`](Self::of) does.
    pub fn reset_peak(process: u32) -> io::Result<()> {
        std::fs::write(format!("/proc/{process}/clear_refs"), "5")
    }
}

fn bytes_of(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1000 kB\n";
        assert_eq!(bytes_of(status, "VmHWM:"), Some(2_048 * 1_024));
        assert_eq!(bytes_of(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let process = std::process::id();
        ProcessStatus::reset_peak(process).unwrap();
        let status = ProcessStatus::of(process).unwrap();
        assert!(status.rss_bytes > 0 && status.descriptors > 2);
    }
}
