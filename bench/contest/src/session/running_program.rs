//! A side of a contender as a process.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bench_kit::BoxError;

/// How long a side may take to end when it is asked to.
const STOP_BOUND: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);
/// The last lines of what it prints about its errors are kept for the report.
const ERROR_LINES: usize = 3;

/// A process whose lines are read. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct RunningProgram {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Arc<Mutex<VecDeque<String>>>,
}

impl RunningProgram {
    /// Starts it, on one processor if that is given.
    pub(super) fn start(
        program: &Path,
        arguments: &[String],
        processor: Option<usize>,
    ) -> Result<Self, BoxError> {
        let mut command = match processor {
            Some(processor) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &processor.to_string()]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let error_output = child.stderr.take().ok_or("no error output")?;
        let (sender, lines) = channel();
        // The threads end with the process.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let errors = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&errors);
        std::thread::spawn(move || {
            for line in BufReader::new(error_output).lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == ERROR_LINES {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        });
        Ok(Self {
            input: child.stdin.take(),
            child,
            lines,
            errors,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The rest of the next line that begins with `start`. Other lines are skipped.
    pub(super) fn line(&mut self, start: &str, within: Duration) -> Result<String, BoxError> {
        let end = Instant::now() + within;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                return Err(self.why_no_line(start, within).into());
            };
            if let Some(rest) = line.strip_prefix(start) {
                return Ok(rest.to_owned());
            }
        }
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn stop(mut self) {
        drop(self.input.take());
        let end = Instant::now() + STOP_BOUND;
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            sleep(POLL);
        }
    }

    fn why_no_line(&mut self, start: &str, within: Duration) -> String {
        // The last lines that it printed may still be on their way.
        sleep(POLL);
        let ended = match self.child.try_wait() {
            Ok(Some(status)) => format!("ended with {status}"),
            _ => format!("printed no line {start:?} within {within:?}"),
        };
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let errors = errors.iter().map(|line| line.trim()).collect::<Vec<_>>();
        if errors.is_empty() {
            ended
        } else {
            format!("{ended}: {}", errors.join(" / "))
        }
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
