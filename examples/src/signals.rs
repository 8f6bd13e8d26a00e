//! Waits for the signals that end a process.

use std::future::Future;
use std::io;

/// Listens, from the call on, for signals that ask the process to end: Ctrl-C and, on Unix,
/// SIGTERM. The future completes when one has arrived. Call it before there is anything to shut
/// down.
///
/// # Errors
///
/// Fails if the system does not allow listening for signals.
pub fn interrupted() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(windows)]
    {
        let mut interrupt = tokio::signal::windows::ctrl_c()?;
        Ok(async move { drop(interrupt.recv().await) })
    }
}
