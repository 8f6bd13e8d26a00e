//! Which scenarios a session runs, and for how long.

use bench_kit::Losing;

use super::contender_program::ContenderProgram;
use super::scenario::{Load, Scenario};

/// Requests a second beside which large messages are sent, and the same without any.
const MIXED_RATE: f64 = 1_000.0;
/// A large message every so many milliseconds.
const LARGE_PERIOD: u64 = 10;
/// A rate that the slowest contender still carries.
const OPEN_RATE: f64 = 2_000.0;

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
}

impl Plan {
    /// All that the goals ask for, and what a user would compare.
    #[must_use]
    pub fn full(rounds: usize, seconds: f64) -> Self {
        // Fewer rounds where a run takes longer or varies less.
        let few = rounds.min(3);
        let all = |load, bytes| Scenario::new(load, bytes, rounds);
        let bound = [ContenderProgram::OURS, ContenderProgram::RAW];
        let mut scenarios = Vec::new();
        for in_flight in [1, 64, 1024] {
            scenarios.push(all(Load::Closed(in_flight), Scenario::SMALL));
        }
        scenarios.push(all(Load::Closed(64), Scenario::MEDIUM));
        for in_flight in [1, 64] {
            scenarios.push(all(Load::Closed(in_flight), Scenario::LARGE));
        }
        for in_flight in [1, 64, 1024] {
            let small = all(Load::Closed(in_flight), Scenario::SMALL);
            scenarios.push(small.on_threads(1).only(&bound));
        }
        let sequential = all(Load::Closed(1), Scenario::SMALL);
        scenarios.push(sequential.pinned().only(&bound));
        let small = |load| Scenario::new(load, Scenario::SMALL, few);
        scenarios.push(small(Load::Open(OPEN_RATE)));
        scenarios.push(small(Load::Open(MIXED_RATE)));
        scenarios.push(small(Load::Mixed(MIXED_RATE, LARGE_PERIOD)));
        scenarios.push(small(Load::Loss(Losing::Killed)));
        scenarios.push(Scenario::new(
            Load::Loss(Losing::Frozen),
            Scenario::SMALL,
            1,
        ));
        Self {
            scenarios,
            seconds,
            warm_up: 0.3,
            drops_noise: true,
        }
    }

    /// One short round of each kind: shows only that all of it works.
    #[must_use]
    pub fn smoke() -> Self {
        let once = |load, bytes| Scenario::new(load, bytes, 1);
        let bound = [ContenderProgram::OURS, ContenderProgram::RAW];
        let small = |load| once(load, Scenario::SMALL);
        let scenarios = vec![
            small(Load::Closed(1)),
            small(Load::Closed(64)),
            small(Load::Closed(1024)),
            once(Load::Closed(64), Scenario::MEDIUM),
            once(Load::Closed(1), Scenario::LARGE),
            small(Load::Closed(64)).on_threads(1).only(&bound),
            small(Load::Closed(1)).pinned().only(&bound),
            small(Load::Open(MIXED_RATE)),
            small(Load::Mixed(MIXED_RATE, LARGE_PERIOD)),
            small(Load::Loss(Losing::Killed)),
        ];
        Self {
            scenarios,
            seconds: 0.5,
            warm_up: 0.1,
            drops_noise: false,
        }
    }
}
