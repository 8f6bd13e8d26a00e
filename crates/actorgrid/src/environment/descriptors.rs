//! The limit on this process's file descriptors.

use std::io;

/// Raises the soft limit on open descriptors to `wanted`, or as far as the hard limit allows, and
/// returns the resulting limit. `None` means that there is no limit.
///
/// The limit applies to the whole process. It is never lowered.
#[cfg(unix)]
pub(crate) fn raise_descriptor_limit(wanted: u64) -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let current = limit.current?;
    if current >= wanted {
        return Some(current);
    }
    let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raise = Rlimit {
        current: Some(raised),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raise) {
        Ok(()) => Some(raised.max(current)),
        Err(error) => {
            tracing::debug!(%error, "cannot raise the limit on open files");
            Some(current)
        }
    }
}

#[cfg(not(unix))]
pub(crate) fn raise_descriptor_limit(_wanted: u64) -> Option<u64> {
    None
}

/// Whether an error means that the process, or the system, has no descriptors left.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let out = [Errno::MFILE, Errno::NFILE];
        let code = error.raw_os_error();
        code.is_some_and(|code| out.iter().any(|errno| errno.raw_os_error() == code))
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}
