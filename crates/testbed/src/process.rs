//! A program under test.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::child::OwnedChild;
use crate::transcript::{Line, Transcript};

/// How long to wait for the output that is left in a process's pipe.
const REST_BOUND: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(1);

/// A process under test. It is killed when it is dropped.
///
/// ```no_run
/// use std::process::Command;
/// use std::time::Duration;
/// use testbed::Process;
///
/// let mut hello = Process::start(Command::new("target/debug/hello").args(["--peers", "2"]));
/// hello.wait_for_line(|line| line.text.starts_with("LEADER start"), Duration::from_secs(10));
/// hello.terminate();
/// assert!(hello.wait(Duration::from_secs(10)).success());
/// ```
#[derive(Debug)]
pub struct Process {
    // Comes before the reader, which ends with the process.
    child: OwnedChild,
    name: Arc<str>,
    transcript: Transcript,
    /// Reads the output until nobody can write to it any more.
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a program and keeps the lines of its standard output; everything else is as the
    /// command says.
    ///
    /// # Panics
    ///
    /// Panics if the program cannot be run.
    #[must_use]
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let name = Path::new(command.get_program()).file_name();
        let name = name
            .unwrap_or(OsStr::new("process"))
            .to_string_lossy()
            .into_owned();
        Self::start_in(&Transcript::new(), &name, command)
    }

    /// Starts a program under the given name, and adds its lines to those of other processes.
    ///
    /// # Panics
    ///
    /// Panics if the program cannot be run.
    #[must_use]
    #[track_caller]
    pub fn start_in(transcript: &Transcript, name: &str, command: &mut Command) -> Self {
        let mut child = match OwnedChild::spawn(command.stdout(Stdio::piped())) {
            Ok(child) => child,
            Err(error) => panic!("{command:?} cannot be run: {error}"),
        };
        let name: Arc<str> = name.into();
        let transcript = transcript.clone();
        let reader = child.inner().stdout.take().map(|stdout| {
            transcript.open();
            let (transcript, name) = (transcript.clone(), Arc::clone(&name));
            std::thread::spawn(move || transcript.read(&name, stdout))
        });
        Self {
            child,
            name,
            transcript,
            reader,
        }
    }

    /// Returns its name in the transcript.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the id of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the transcript that keeps its lines.
    #[must_use]
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// Returns its own lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = self.transcript.lines();
        lines.retain(|line| self.printed(line));
        lines
    }

    /// Returns the first of its own lines that fits, waiting for it if necessary.
    ///
    /// # Panics
    ///
    /// Panics as [`Transcript::wait_for_line`] does.
    #[track_caller]
    pub fn wait_for_line(&self, fits: impl Fn(&Line) -> bool, bound: Duration) -> Line {
        self.wait_for_line_from(0, fits, bound)
    }

    /// Returns the first of its own lines that fits, from this index of the transcript on, waiting
    /// for it if necessary.
    ///
    /// # Panics
    ///
    /// Panics as [`Transcript::wait_for_line`] does.
    #[track_caller]
    pub fn wait_for_line_from(
        &self,
        from: usize,
        fits: impl Fn(&Line) -> bool,
        bound: Duration,
    ) -> Line {
        let fits = |line: &Line| self.printed(line) && fits(line);
        self.transcript.wait_for_line_from(from, fits, bound)
    }

    /// Asks it to end with SIGTERM.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses.
    #[track_caller]
    pub fn terminate(&mut self) {
        if let Err(error) = self.child.terminate() {
            panic!("{} cannot be asked to end: {error}", self.name);
        }
    }

    /// Kills it with SIGKILL. Returns once it has ended and its output has been read.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses.
    #[track_caller]
    pub fn kill(&mut self) {
        if let Err(error) = self.child.kill() {
            panic!("{} cannot be killed: {error}", self.name);
        }
        self.read_rest();
    }

    /// Freezes it with SIGSTOP. Returns once it has stopped.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses.
    #[track_caller]
    pub fn pause(&mut self) {
        if let Err(error) = self.child.pause() {
            panic!("{} cannot be paused: {error}", self.name);
        }
    }

    /// Resumes it with SIGCONT.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses.
    #[track_caller]
    pub fn resume(&mut self) {
        if let Err(error) = self.child.resume() {
            panic!("{} cannot be resumed: {error}", self.name);
        }
    }

    /// Returns how it ended, or `None` while it runs.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses.
    #[must_use]
    #[track_caller]
    pub fn ended(&mut self) -> Option<ExitStatus> {
        match self.child.ended() {
            Ok(status) => status,
            Err(error) => panic!("{} cannot be waited for: {error}", self.name),
        }
    }

    /// Waits until it ends and its output has been read; returns how it ended.
    ///
    /// # Panics
    ///
    /// Panics if it does not end within the bound. The message shows all lines.
    #[track_caller]
    pub fn wait(&mut self, bound: Duration) -> ExitStatus {
        match self.child.wait(bound) {
            Ok(Some(status)) => {
                self.read_rest();
                status
            }
            Ok(None) => {
                panic!(
                    "{} did not end within {bound:?}:\n{:?}",
                    self.name, self.transcript
                )
            }
            Err(error) => panic!("{} cannot be waited for: {error}", self.name),
        }
    }

    fn printed(&self, line: &Line) -> bool {
        Arc::ptr_eq(&line.process, &self.name)
    }

    /// The output ends with the process, unless it has left children that inherited the output.
    fn read_rest(&mut self) {
        let Some(reader) = self.reader.take() else {
            return;
        };
        let start = Instant::now();
        while !reader.is_finished() {
            if start.elapsed() >= REST_BOUND {
                return;
            }
            std::thread::sleep(POLL);
        }
        let _ = reader.join();
    }
}
