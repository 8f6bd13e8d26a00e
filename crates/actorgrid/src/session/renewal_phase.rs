//! Spreads the renewals of a session's leases over the interval between two renewals. Pure.
//!
//! Each lease has a fixed phase: the share of the interval by which its renewals follow those of
//! the first lease. The phases of the first n leases are spread evenly for every n (they are the
//! binary van der Corput sequence: 0, 1/2, 1/4, 3/4, 1/8, ...), so no lease has to move when
//! another one is added, and leases whose renewals were all late at once spread again by
//! themselves.

use std::time::Duration;

use crate::environment::Timestamp;

/// When a lease is renewed within each interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RenewalPhase {
    /// The first interval of the session begins here.
    origin: Timestamp,
    /// The share of the interval, in units of 2⁻³².
    share: u32,
}

impl RenewalPhase {
    /// Returns the phase of the lease with this number, counted from zero.
    pub(super) fn of(origin: Timestamp, number: u32) -> Self {
        let share = number.reverse_bits();
        Self { origin, share }
    }

    /// Returns when to renew next after a renewal that was sent at `sent`: the latest time of this
    /// phase that is no more than an interval later. So the phase never makes a renewal late.
    pub(super) fn next(self, sent: Timestamp, interval: Duration) -> Timestamp {
        let latest = (sent + interval).as_nanos();
        let interval = u64::try_from(interval.as_nanos())
            .unwrap_or(u64::MAX)
            .max(1);
        let shift = (u128::from(interval) * u128::from(self.share)) >> 32;
        let shift = u64::try_from(shift).unwrap_or(u64::MAX);
        let base = self.origin.as_nanos().saturating_add(shift);
        let beyond = latest.saturating_sub(base) % interval;
        Timestamp::from_nanos(latest - beyond)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(3);

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn the_first_leases_have_even_phases() {
        let shares = [0_u32, 1, 2, 3, 4].map(|number| {
            let phase = RenewalPhase::of(at(0), number);
            phase.next(at(30_000), INTERVAL).since(at(30_000))
        });
        let millis = [3_000, 1_500, 750, 2_250, 375].map(Duration::from_millis);
        assert_eq!(shares, millis);
    }

    #[test]
    fn a_late_renewal_does_not_move_the_phase() {
        let phase = RenewalPhase::of(at(1_000), 1);
        assert_eq!(phase.next(at(1_000), INTERVAL), at(2_500));
        assert_eq!(phase.next(at(2_500), INTERVAL), at(5_500));
        assert_eq!(phase.next(at(2_501), INTERVAL), at(5_500));
        assert_eq!(phase.next(at(5_499), INTERVAL), at(5_500));
        // A shorter interval begins at the same origin.
        assert_eq!(phase.next(at(5_500), INTERVAL / 2), at(6_250));
    }

    #[test]
    fn an_interval_of_nothing_is_no_division_by_zero() {
        let phase = RenewalPhase::of(at(0), 7);
        assert_eq!(phase.next(at(9), Duration::ZERO), at(9));
    }

    proptest! {
        #[test]
        fn a_renewal_is_never_late_and_comes_in_its_phase(
            number in 0..5_000_u32,
            origin in 0..1_000_000_u64,
            after in 0..1_000_000_u64,
            interval in 1..100_000_u64,
        ) {
            let interval = Duration::from_millis(interval);
            let phase = RenewalPhase::of(at(origin), number);
            let sent = at(origin + after);
            let next = phase.next(sent, interval);
            prop_assert!(next > sent && next <= sent + interval);
            // Renewals that are sent in time come an interval apart.
            prop_assert_eq!(phase.next(next, interval), next + interval);
        }

        #[test]
        fn renewals_are_spread(leases in 1..200_u32, origin in 0..1_000_u64) {
            let mut times: Vec<Duration> = (0..leases)
                .map(|number| {
                    let phase = RenewalPhase::of(at(origin), number);
                    phase.next(at(origin), INTERVAL).since(at(origin))
                })
                .collect();
            times.sort();
            // With n leases, no two are closer than a quarter of an even spread.
            let closest = times.windows(2).map(|pair| pair[1] - pair[0]).min();
            prop_assert!(closest.is_none_or(|gap| gap >= INTERVAL / (4 * leases)));
        }
    }
}
