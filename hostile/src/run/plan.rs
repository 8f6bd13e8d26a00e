//! Plans which attacks a run makes, from how many connections, and for how long.

use std::time::Duration;

use crate::attack::Attack;

/// How long each attack of a smoke run lasts: all attacks then take less than three minutes.
const SMOKE_TIME: Duration = Duration::from_millis(1_900);

/// How thoroughly a run makes each attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Each attack for this long, or as long as it needs, from each number of connections.
    Full(Duration),
    /// The same from one number of connections only.
    EachOnce(Duration),
    /// Each attack once, and briefly.
    Smoke,
}

/// An attack that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct PlannedRound {
    /// The attack.
    pub attack: Attack,
    /// The number of connections, or of source addresses.
    pub connections: usize,
    /// How long to attack.
    pub time: Duration,
}

/// Returns the rounds of these attacks.
#[must_use]
pub fn plan(attacks: &[Attack], mode: Mode) -> Vec<PlannedRound> {
    let mut rounds = Vec::new();
    for attack in attacks {
        // The middle one: several connections, but not yet many.
        let middle = attack.connections.len() / 2;
        let once = &attack.connections[middle..=middle];
        let (connections, time) = match mode {
            Mode::Full(time) => (attack.connections, time.max(attack.at_least)),
            Mode::EachOnce(time) => (once, time.max(attack.at_least)),
            Mode::Smoke => (once, SMOKE_TIME),
        };
        rounds.extend(connections.iter().map(|connections| PlannedRound {
            attack: *attack,
            connections: *connections,
            time,
        }));
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::all_attacks;

    #[test]
    fn a_full_run_attacks_from_each_number_of_connections_for_as_long_as_it_takes() {
        let attacks = all_attacks();
        let rounds = plan(&attacks, Mode::Full(Duration::from_secs(5)));
        let numbers = attacks.iter().map(|attack| attack.connections.len());
        assert_eq!(rounds.len(), numbers.sum::<usize>());
        for round in &rounds {
            assert!(round.time >= Duration::from_secs(5).max(round.attack.at_least));
        }
    }

    #[test]
    fn a_smoke_run_makes_each_attack_once_in_less_than_three_minutes() {
        let attacks = all_attacks();
        let rounds = plan(&attacks, Mode::Smoke);
        assert_eq!(rounds.len(), attacks.len());
        // Allows 600 ms per attack for recovery and for requests under way, as most need less.
        let all: Duration = rounds
            .iter()
            .map(|round| round.time + Duration::from_millis(600))
            .sum();
        assert!(all < Duration::from_secs(180), "{all:?}");
    }
}
