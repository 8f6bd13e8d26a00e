//! Which runs of a contender count.

use bench_kit::{LoadReport, Noise};

/// A round is repeated while the machine is busy with other things, but not for ever: there are at
/// most so many attempts for each round that is asked for.
const ATTEMPTS_PER_ROUND: usize = 3;
/// A contender that fails so often in a scenario is not run in it any more.
const MAX_FAILURES: usize = 2;

/// One run.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Run {
    /// The turn in which it ran: the runs of one turn are compared with each other.
    pub cycle: usize,
    /// The CPU time of the loading process within the window, in microseconds.
    pub load_cpu_micros: f64,
    /// The CPU time of the echoing process.
    pub echo_cpu_micros: f64,
    /// The share of the machine that others used.
    pub noise: Noise,
    /// The result that the load printed.
    pub report: LoadReport,
}

impl Run {
    /// The CPU time of both processes per request, in microseconds.
    #[must_use]
    pub fn cpu_per_request(&self) -> f64 {
        (self.load_cpu_micros + self.echo_cpu_micros) / self.report.requests as f64
    }

    /// Describes the first problem of the run, if there is one.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let report = &self.report;
        if let Some(loss) = &report.loss {
            return (loss.unended > 0).then(|| format!("{} calls never ended", loss.unended));
        }
        let large = report.large.as_ref();
        let error = report.first_error.as_ref();
        let error = error.or_else(|| large.and_then(|large| large.first_error.as_ref()));
        if let Some(error) = error {
            return Some(format!("requests failed: {error}"));
        }
        if report.requests == 0 || large.is_some_and(|large| large.answered == 0) {
            return Some("no request was answered".to_owned());
        }
        let latencies = [report.p50_micros, report.p99_micros, report.max_micros];
        let ascending = latencies.is_sorted() && latencies[0] > 0.0;
        (!ascending).then(|| format!("no latencies: {latencies:?}"))
    }
}

/// The rounds of one contender in one scenario.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Rounds {
    /// Those that count.
    pub runs: Vec<Run>,
    /// Those that were dropped as others used too much of the machine.
    pub dropped: usize,
    /// How those ended that failed.
    pub failures: Vec<String>,
}

impl Rounds {
    /// Whether to run another.
    #[must_use]
    pub fn needs_more(&self, wanted: usize) -> bool {
        self.runs.len() < wanted && self.may_run(wanted)
    }

    /// Whether another one may be run, whatever it is for.
    #[must_use]
    pub fn may_run(&self, wanted: usize) -> bool {
        self.failures.len() < MAX_FAILURES && self.attempts() < wanted * ATTEMPTS_PER_ROUND
    }

    /// How often it was run.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.runs.len() + self.dropped + self.failures.len()
    }

    /// In how many turns both this contender and the other one were quiet.
    #[must_use]
    pub fn turns_with(&self, other: &Self) -> usize {
        let has = |cycle| other.runs.iter().any(|run| run.cycle == cycle);
        self.runs.iter().filter(|run| has(run.cycle)).count()
    }

    /// Adds one, or why it failed. A noisy one does not count if those are dropped.
    pub fn add(&mut self, outcome: Result<Run, String>, drops_noise: bool) {
        match outcome {
            Ok(run) if drops_noise && !run.noise.is_quiet() => {
                self.dropped += 1;
            }
            Ok(run) => self.runs.push(run),
            Err(why) => self.failures.push(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(foreign_share: f64) -> Result<Run, String> {
        Ok(Run {
            cycle: 0,
            load_cpu_micros: 30.0,
            echo_cpu_micros: 10.0,
            noise: Noise {
                foreign_share,
                steal_share: 0.0,
            },
            report: LoadReport {
                requests: 10,
                ..LoadReport::default()
            },
        })
    }

    #[test]
    fn noisy_rounds_are_repeated_but_not_for_ever() {
        let mut rounds = Rounds::default();
        for attempt in 0..6 {
            assert!(rounds.needs_more(2), "{attempt}");
            rounds.add(run(0.5), true);
        }
        assert!(!rounds.needs_more(2));
        assert_eq!((rounds.runs.len(), rounds.dropped), (0, 6));

        let mut rounds = Rounds::default();
        rounds.add(run(0.01), true);
        rounds.add(run(0.5), true);
        assert!(rounds.needs_more(2));
        rounds.add(run(0.02), true);
        assert!(!rounds.needs_more(2));
        assert_eq!((rounds.runs.len(), rounds.dropped), (2, 1));
        assert_eq!(rounds.runs[0].cpu_per_request(), 4.0);
    }

    #[test]
    fn noise_may_be_allowed() {
        let mut rounds = Rounds::default();
        rounds.add(run(0.5), false);
        assert_eq!((rounds.runs.len(), rounds.dropped), (1, 0));
    }

    #[test]
    fn what_fails_twice_is_left_alone() {
        let mut rounds = Rounds::default();
        rounds.add(Err("died".to_owned()), true);
        assert!(rounds.needs_more(5));
        rounds.add(Err("died".to_owned()), true);
        assert!(!rounds.needs_more(5));
    }
}
