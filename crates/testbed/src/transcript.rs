//! The output of processes, line by line.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A line that a process has printed.
#[derive(Debug, Clone)]
pub struct Line {
    /// The index among all lines of the transcript, starting at 0.
    pub index: usize,
    /// When the line was read, which is within a moment of when it was printed.
    pub at: Instant,
    /// The name of the process.
    pub process: Arc<str>,
    /// The text, without the line ending.
    pub text: String,
}

impl Line {
    /// Returns the value of a field that is written `name=value`, up to the next space.
    ///
    /// ```
    /// // For `LEADER start peer=127-0-0-1-7777 token=17`, it returns `17`.
    /// fn token(line: &testbed::Line) -> Option<&str> {
    ///     line.field("token")
    /// }
    /// ```
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.text
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }
}

/// The lines of one or more processes, in the order in which they were read. Clones share them.
///
/// All lines are kept: a test is short, and shows them when it fails.
#[derive(Clone, Default)]
pub struct Transcript(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<Line>,
    /// The number of processes that may still print.
    open: usize,
}

impl Transcript {
    /// Creates an empty transcript.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns all lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.state().lines.clone()
    }

    /// Returns the number of lines, which is where to search from for lines that follow.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().lines.len()
    }

    /// Whether nothing has been printed so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the first line that fits, waiting for it if necessary.
    ///
    /// # Panics
    ///
    /// Panics if there is no such line within the bound, or every process has closed its output
    /// without it. The message shows all lines.
    #[track_caller]
    pub fn wait_for_line(&self, fits: impl Fn(&Line) -> bool, bound: Duration) -> Line {
        self.wait_for_line_from(0, fits, bound)
    }

    /// Returns the first line that fits, from this index on, waiting for it if necessary.
    ///
    /// # Panics
    ///
    /// Panics as [`wait_for_line`](Self::wait_for_line) does.
    #[track_caller]
    pub fn wait_for_line_from(
        &self,
        from: usize,
        fits: impl Fn(&Line) -> bool,
        bound: Duration,
    ) -> Line {
        match self.find_line_from(from, fits, bound) {
            Ok(line) => line,
            Err(why) => panic!("no such line {why} ({bound:?}):\n{self:?}"),
        }
    }

    /// Returns the first line that fits, from this index on, waiting for it if necessary.
    ///
    /// # Errors
    ///
    /// Fails if there is no such line within the bound, or every process has closed its output
    /// without it; the error says which.
    pub fn find_line_from(
        &self,
        from: usize,
        fits: impl Fn(&Line) -> bool,
        bound: Duration,
    ) -> Result<Line, &'static str> {
        let start = Instant::now();
        let mut from = from;
        let mut state = self.state();
        loop {
            if let Some(line) = state.lines.iter().skip(from).find(|line| fits(line)) {
                return Ok(line.clone());
            }
            from = from.max(state.lines.len());
            let left = bound.saturating_sub(start.elapsed());
            if state.open == 0 {
                return Err("before all output ended");
            }
            if left.is_zero() {
                return Err("in time");
            }
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reads lines to the end of the source. Must be called once for each [`open`](Self::open).
    pub(crate) fn read(&self, process: &Arc<str>, source: impl Read) {
        let mut source = BufReader::new(source);
        let mut bytes = Vec::new();
        while source
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|count| count > 0)
        {
            let at = Instant::now();
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_end_matches(['\r', '\n']).to_owned();
            bytes.clear();
            let mut state = self.state();
            let index = state.lines.len();
            state.lines.push(Line {
                index,
                at,
                process: Arc::clone(process),
                text,
            });
            drop(state);
            self.0.changed.notify_all();
        }
        self.state().open -= 1;
        self.0.changed.notify_all();
    }

    /// Announces a source before it is read, so that the output does not count as ended until then.
    pub(crate) fn open(&self) {
        self.state().open += 1;
    }

    /// Ignores poisoning: a test that panics while it reads the lines leaves them intact.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        for line in &lines {
            let since = line.at.duration_since(lines[0].at);
            writeln!(
                f,
                "{:9.3} {}: {}",
                since.as_secs_f64(),
                line.process,
                line.text
            )?;
        }
        Ok(())
    }
}
