//! A child process that does not outlive its owner.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// How often a child is asked whether it has ended.
const POLL: Duration = Duration::from_millis(2);

/// A child process: killed and waited for when dropped.
#[derive(Debug)]
pub(crate) struct OwnedChild(Child);

impl OwnedChild {
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        command.spawn().map(Self)
    }

    pub(crate) fn inner(&mut self) -> &mut Child {
        &mut self.0
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Waits for its end, `None` if it does not come within the bound.
    pub(crate) fn wait(&mut self, bound: Duration) -> io::Result<Option<ExitStatus>> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if start.elapsed() >= bound {
                return Ok(None);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Asks it to end: SIGTERM. Nothing happens if it has ended.
    pub(crate) fn terminate(&mut self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Ends it: SIGKILL. Returns once it has gone.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        self.0.kill()?;
        self.0.wait()
    }

    /// Stops it: SIGSTOP. Returns once it stands still (or has ended).
    pub(crate) fn pause(&mut self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        if self.ended()?.is_none() {
            // Its end is left for `ended` to collect: the standard library expects to find it.
            let change = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(self.pid()), change)?;
        }
        Ok(())
    }

    /// Lets it go on: SIGCONT.
    pub(crate) fn resume(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Never sends to a process that was waited for: its id may be another's by now.
    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.ended()?.is_none() {
            kill_process(self.pid(), signal)?;
        }
        Ok(())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for OwnedChild {
    fn drop(&mut self) {
        // It fails where it has ended and was waited for, which is as good.
        let _ = self.kill();
    }
}
