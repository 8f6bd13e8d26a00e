//! Which scenarios a session runs, and for how long.

use std::time::Duration;

use bench_kit::Losing;

use super::contender_program::ContenderProgram;
use super::scenario::{Load, Scenario};

/// Requests a second beside which large messages are sent, and the same without any.
const MIXED_RATE: f64 = 1_000.0;
/// A large message every so many milliseconds.
const LARGE_PERIOD: u64 = 10;
/// A rate that the slowest contender still carries.
const OPEN_RATE: f64 = 2_000.0;

/// Besides its window and warm-up, a run takes about so many seconds, to start and stop programs.
const OVERHEAD: f64 = 0.4;
/// A run in which a process is killed takes so many seconds, and one in which ours is frozen.
const LOSS_RUN: f64 = 3.5;
/// So many, where the calls of a contender whose process is frozen never end.
const ENDLESS_RUN: f64 = 16.0;

/// The scenarios of a session.
#[derive(Debug, Clone)]
pub struct Plan {
    /// In their order.
    pub scenarios: Vec<Scenario>,
    /// How long each run measures, in seconds.
    pub seconds: f64,
    /// How long each run sends before that.
    pub warm_up: f64,
    /// Whether rounds beside foreign load are dropped.
    pub drops_noise: bool,
    /// After so long, noisy rounds are not repeated any more.
    pub bound: Option<Duration>,
}

impl Plan {
    /// Rounds of a full session, if nothing else is asked for.
    pub const ROUNDS: usize = 5;
    /// How long each of its runs measures.
    pub const SECONDS: f64 = 0.6;
    /// How long it takes at most.
    pub const MINUTES: u64 = 18;

    /// All that the goals ask for, and what a user would compare.
    #[must_use]
    pub fn full(rounds: usize, seconds: f64, bound: Duration) -> Self {
        // Fewer rounds where a run takes longer or varies less.
        let few = rounds.min(3);
        let all = |load, bytes| Scenario::new(load, bytes, rounds);
        let bounds = [ContenderProgram::OURS, ContenderProgram::RAW];
        let mut scenarios = Vec::new();
        for in_flight in [1, 64, 1024] {
            scenarios.push(all(Load::Closed(in_flight), Scenario::SMALL));
        }
        scenarios.push(all(Load::Closed(64), Scenario::MEDIUM));
        scenarios.push(all(Load::Closed(1), Scenario::LARGE));
        for in_flight in [1, 64, 1024] {
            let small = all(Load::Closed(in_flight), Scenario::SMALL);
            scenarios.push(small.on_threads(1).only(&bounds));
        }
        let sequential = all(Load::Closed(1), Scenario::SMALL);
        scenarios.push(sequential.pinned().only(&bounds));
        let small = |load| all(load, Scenario::SMALL).others(few);
        scenarios.push(small(Load::Open(OPEN_RATE)));
        scenarios.push(small(Load::Open(MIXED_RATE)));
        scenarios.push(small(Load::Mixed(MIXED_RATE, LARGE_PERIOD)));
        scenarios.push(small(Load::Loss(Losing::Killed)));
        scenarios.push(small(Load::Loss(Losing::Frozen)).others(1));
        Self {
            scenarios,
            seconds,
            warm_up: 0.3,
            drops_noise: true,
            bound: Some(bound),
        }
    }

    /// One short round of each kind: shows only that all of it works.
    #[must_use]
    pub fn smoke() -> Self {
        let once = |load, bytes| Scenario::new(load, bytes, 1);
        let bounds = [ContenderProgram::OURS, ContenderProgram::RAW];
        let small = |load| once(load, Scenario::SMALL);
        let scenarios = vec![
            small(Load::Closed(1)),
            small(Load::Closed(64)),
            small(Load::Closed(1024)),
            once(Load::Closed(64), Scenario::MEDIUM),
            once(Load::Closed(1), Scenario::LARGE),
            small(Load::Closed(64)).on_threads(1).only(&bounds),
            small(Load::Closed(1)).pinned().only(&bounds),
            small(Load::Open(MIXED_RATE)),
            small(Load::Mixed(MIXED_RATE, LARGE_PERIOD)),
            small(Load::Loss(Losing::Killed)),
        ];
        Self {
            scenarios,
            seconds: 0.5,
            warm_up: 0.1,
            drops_noise: false,
            bound: None,
        }
    }

    /// How long each scenario takes with these contenders if nothing is repeated, in seconds.
    #[must_use]
    pub fn expected_seconds(&self, contenders: &[&str]) -> Vec<f64> {
        let of = |scenario: &Scenario| {
            let takes_part = contenders.iter().filter(|key| scenario.is_for(key));
            let runs = takes_part.map(|key| {
                let run = match scenario.load {
                    Load::Loss(Losing::Killed) => LOSS_RUN,
                    Load::Loss(Losing::Frozen) if ContenderProgram::is_ours(key) => LOSS_RUN,
                    Load::Loss(Losing::Frozen) => ENDLESS_RUN,
                    _ => self.seconds + self.warm_up + OVERHEAD,
                };
                run * scenario.rounds_of(key) as f64
            });
            runs.sum()
        };
        self.scenarios.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::ContenderFolders;

    #[test]
    fn a_full_session_leaves_time_to_repeat_noisy_rounds() {
        let folders = ContenderFolders::default();
        let all = ContenderProgram::all(&folders);
        let keys: Vec<_> = all.iter().map(|program| program.key).collect();
        let bound = Duration::from_secs(60 * Plan::MINUTES);
        let plan = Plan::full(Plan::ROUNDS, Plan::SECONDS, bound);
        let expected: f64 = plan.expected_seconds(&keys).iter().sum();
        assert!(expected < bound.as_secs_f64() * 0.9, "{expected}");
    }
}
