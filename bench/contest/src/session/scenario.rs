//! A measurement that every contender goes through.

use std::fmt;

use bench_kit::Losing;

use super::contender_program::ContenderProgram;

/// How requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// So many in flight.
    Closed(usize),
    /// So many a second.
    Open(f64),
    /// The same, beside a large message every so many milliseconds.
    Mixed(f64, u64),
    /// 64 in flight, until the other process is lost.
    Loss(Losing),
}

/// One thing to measure.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Scenario {
    /// How requests are sent.
    pub load: Load,
    /// The content of each request, in bytes.
    pub bytes: usize,
    /// Threads of each process's runtime; its default otherwise.
    pub worker_threads: Option<usize>,
    /// Whether each process has a processor of its own.
    pub is_pinned: bool,
    /// Quiet rounds that are wanted of ours.
    pub rounds: usize,
    /// Quiet rounds that are wanted of all others.
    pub rounds_of_others: usize,
    /// The contenders by their keys; all of them if there are none.
    pub only: Vec<String>,
}

impl Scenario {
    /// A message of the size of a name and a few numbers.
    pub const SMALL: usize = 70;
    /// A message that takes several packets.
    pub const MEDIUM: usize = 5_000;
    /// A message that fills a window of 64 KiB.
    pub const LARGE: usize = 65_536;

    /// A scenario of all contenders with the defaults.
    #[must_use]
    pub fn new(load: Load, bytes: usize, rounds: usize) -> Self {
        Self {
            load,
            bytes,
            worker_threads: None,
            is_pinned: false,
            rounds,
            rounds_of_others: rounds,
            only: Vec::new(),
        }
    }

    /// With so many threads in the runtime of each process.
    #[must_use]
    pub fn on_threads(mut self, threads: usize) -> Self {
        self.worker_threads = Some(threads);
        self
    }

    /// With a processor for each process.
    #[must_use]
    pub fn pinned(mut self) -> Self {
        self.is_pinned = true;
        self
    }

    /// Of these contenders alone.
    #[must_use]
    pub fn only(mut self, contenders: &[&str]) -> Self {
        self.only = contenders.iter().map(|&key| key.to_owned()).collect();
        self
    }

    /// With so many rounds of all contenders but ours.
    #[must_use]
    pub fn others(mut self, rounds: usize) -> Self {
        self.rounds_of_others = rounds;
        self
    }

    /// The quiet rounds that are wanted of a contender.
    #[must_use]
    pub fn rounds_of(&self, contender: &str) -> usize {
        match contender {
            ContenderProgram::OURS => self.rounds,
            _ => self.rounds_of_others,
        }
    }

    /// Whether this contender takes part.
    #[must_use]
    pub fn is_for(&self, contender: &str) -> bool {
        // It is nothing but its closed loop.
        let has_load =
            contender != ContenderProgram::RAW_PIPELINE || matches!(self.load, Load::Closed(_));
        has_load && (self.only.is_empty() || self.only.iter().any(|key| key == contender))
    }

    /// Whether the figures depend on how busy the machine is with other things.
    #[must_use]
    pub fn needs_quiet(&self) -> bool {
        !matches!(self.load, Load::Loss(_))
    }

    /// Options of the load for it.
    #[must_use]
    pub fn load_options(&self, seconds: f64) -> Vec<String> {
        let mut options = vec!["--bytes".to_owned(), self.bytes.to_string()];
        let mut add = |name: &str, value: String| options.extend([name.to_owned(), value]);
        add("--seconds", seconds.to_string());
        match self.load {
            Load::Closed(in_flight) => add("--in-flight", in_flight.to_string()),
            Load::Open(rate) => add("--rate", rate.to_string()),
            Load::Mixed(rate, period) => {
                add("--rate", rate.to_string());
                add("--large-every", period.to_string());
            }
            Load::Loss(losing) => {
                let losing = match losing {
                    Losing::Killed => "killed",
                    Losing::Frozen => "frozen",
                };
                add("--losing", losing.to_owned());
            }
        }
        options.extend(self.thread_options());
        options
    }

    /// Options of both sides for it.
    #[must_use]
    pub fn thread_options(&self) -> Vec<String> {
        self.worker_threads.map_or_else(Vec::new, |threads| {
            vec!["--worker-threads".to_owned(), threads.to_string()]
        })
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B, ", self.bytes)?;
        match self.load {
            Load::Closed(in_flight) => write!(f, "{in_flight} in flight")?,
            Load::Open(rate) => write!(f, "{rate} a second")?,
            Load::Mixed(rate, period) => {
                write!(f, "{rate} a second, 4 MiB every {period} ms")?;
            }
            Load::Loss(Losing::Killed) => f.write_str("64 in flight, killed")?,
            Load::Loss(Losing::Frozen) => f.write_str("64 in flight, frozen")?,
        }
        if let Some(threads) = self.worker_threads {
            write!(f, ", {threads} worker thread")?;
        }
        if self.is_pinned {
            f.write_str(", pinned")?;
        }
        Ok(())
    }
}
