//! All that a session measured.

use bench_kit::{About, Summary};

use super::contender_program::ContenderProgram;
use super::machine::Machine;
use super::rounds::{Rounds, Run};
use super::scenario::{Load, Scenario};

/// A session, as it is kept and as the report is made of it.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct SessionRecord {
    /// Where it ran, and what.
    pub machine: Machine,
    /// How long each run measured, in seconds.
    pub seconds: f64,
    /// How long each run sent before that.
    pub warm_up: f64,
    /// Who took part.
    pub contenders: Vec<ContenderRecord>,
    /// The measurements, scenario by scenario.
    pub scenarios: Vec<ScenarioRecord>,
}

impl SessionRecord {
    /// All that a session in which everything works does not have.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.complaints_about(|_| true)
    }

    /// Why the session says nothing about ours: it failed, or there is nothing to compare it with.
    #[must_use]
    pub fn flaws(&self) -> Vec<String> {
        let mut flaws = self.complaints_about(ContenderProgram::is_ours);
        let rates = self.scenarios.iter().filter(|record| {
            matches!(record.scenario.load, Load::Closed(_))
                && record.scenario.is_for(ContenderProgram::RAW)
        });
        for record in rates {
            let raw = record.of(ContenderProgram::RAW);
            if raw.is_none_or(|rounds| rounds.runs.is_empty()) {
                flaws.push(format!("{}: no round of raw TCP", record.scenario));
            }
        }
        flaws
    }

    fn complaints_about(&self, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
        let mut complaints = Vec::new();
        for contender in self.contenders.iter().filter(|c| is_meant(&c.key)) {
            if let Err(why) = &contender.about {
                complaints.push(format!("{}: {why}", contender.key));
            }
        }
        for record in &self.scenarios {
            for (key, rounds) in record.rounds.iter().filter(|(key, _)| is_meant(key)) {
                let mut complain = |what: &str| {
                    complaints.push(format!("{key}, {}: {what}", record.scenario));
                };
                rounds.failures.iter().for_each(|why| complain(why));
                if rounds.attempts() < record.scenario.rounds_of(key) {
                    complain("a round is missing");
                }
                if rounds.runs.is_empty() && rounds.dropped > 0 {
                    complain("no round was quiet");
                }
                rounds
                    .runs
                    .iter()
                    .filter_map(Run::complaint)
                    .for_each(|what| complain(&what));
            }
        }
        complaints
    }
}

/// A contender.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct ContenderRecord {
    /// Its key.
    pub key: String,
    /// Its description, or why it could not take part.
    pub about: Result<About, String>,
    /// Whether it failed so often that it was not run any more.
    #[serde(default)]
    pub was_given_up: bool,
}

impl ContenderRecord {
    /// Its name in tables.
    #[must_use]
    pub fn name(&self) -> &str {
        self.about.as_ref().map_or(&self.key, |about| &about.name)
    }
}

/// The rounds of a scenario.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct ScenarioRecord {
    /// The scenario.
    pub scenario: Scenario,
    /// The rounds by the contenders' keys, in the order of the contenders.
    pub rounds: Vec<(String, Rounds)>,
}

impl ScenarioRecord {
    /// The rounds of a contender.
    #[must_use]
    pub fn of(&self, contender: &str) -> Option<&Rounds> {
        let mut rounds = self.rounds.iter();
        rounds
            .find(|(key, _)| key == contender)
            .map(|(_, rounds)| rounds)
    }

    /// A figure of a contender over its rounds.
    #[must_use]
    pub fn figure(&self, contender: &str, of: impl Fn(&Run) -> f64) -> Option<Summary> {
        Summary::of(self.of(contender)?.runs.iter().map(of))
    }

    /// A figure of a contender for each of another one: of the rounds of the same turn, or of the
    /// medians where no turn has both.
    #[must_use]
    pub fn ratio(
        &self,
        contender: &str,
        other: &str,
        of: impl Fn(&Run) -> f64 + Copy,
    ) -> Option<Summary> {
        let others = &self.of(other)?.runs;
        let pairs = self.of(contender)?.runs.iter().filter_map(|run| {
            let beside = others.iter().find(|other| other.cycle == run.cycle)?;
            Some(of(run) / of(beside))
        });
        Summary::of(pairs).or_else(|| {
            let ratio = self.figure(contender, of)?.median / self.figure(other, of)?.median;
            Summary::of([ratio])
        })
    }

    /// The same for raw TCP.
    #[must_use]
    pub fn ratio_to_raw(
        &self,
        contender: &str,
        of: impl Fn(&Run) -> f64 + Copy,
    ) -> Option<Summary> {
        self.ratio(contender, ContenderProgram::RAW, of)
    }
}

#[cfg(test)]
mod tests {
    use bench_kit::{LoadReport, Noise};

    use super::*;

    fn rounds(figures: &[(usize, f64)]) -> Rounds {
        let runs = figures.iter().map(|&(cycle, load_cpu_micros)| Run {
            cycle,
            load_cpu_micros,
            echo_cpu_micros: 0.0,
            noise: Noise::default(),
            report: LoadReport::default(),
        });
        Rounds {
            runs: runs.collect(),
            ..Rounds::default()
        }
    }

    fn record(a: &[(usize, f64)], b: &[(usize, f64)]) -> ScenarioRecord {
        ScenarioRecord {
            scenario: Scenario::new(Load::Closed(1), 70, 3),
            rounds: vec![("a".to_owned(), rounds(a)), ("b".to_owned(), rounds(b))],
        }
    }

    #[test]
    fn ratios_are_those_of_the_same_turn() {
        let of = |run: &Run| run.load_cpu_micros;
        let both = record(
            &[(0, 4.0), (1, 30.0), (3, 8.0)],
            &[(0, 2.0), (1, 10.0), (2, 1.0)],
        );
        let ratio = both.ratio("a", "b", of).unwrap();
        assert_eq!((ratio.median, ratio.rounds), (2.5, 2));

        let apart = record(&[(0, 4.0)], &[(1, 2.0)]);
        assert_eq!(apart.ratio("a", "b", of).unwrap().median, 2.0);
        assert_eq!(apart.ratio("a", "c", of), None);
        assert_eq!(record(&[(0, 4.0)], &[]).ratio("a", "b", of), None);
    }
}
