//! Decides when to renew the leases of a session, and when the session is over. Pure: times, signs
//! of life and replies in, commands out.

use std::time::Duration;

use super::fence_reason::FenceReason;
use super::renewal_phase::RenewalPhase;
use crate::environment::Timestamp;
use crate::registry::LeaseId;

/// A lease is renewed five times per time to live: three attempts may fail before the soft
/// deadline.
const RENEWALS_PER_TTL: u32 = 5;
/// The first renewal of a further lease follows its grant after at least this fraction of the time
/// between two renewals (1.5 s of 3 s), whatever its phase: for a moment after a grant, older
/// versions of etcd can answer a renewal as if the lease were gone.
const FIRST_RENEWAL_FRACTION: u32 = 2;
/// One attempt may take 2/15 of the time to live (2 s of 15 s), so that it ends before the next
/// renewal is due.
const TRY_LIMIT_FIFTEENTHS: u32 = 2;
/// After an attempt that fails at once, the next one is sent no sooner than this fraction of the
/// time to live after it (250 ms of 15 s), to avoid flooding a registry that refuses. Only for the
/// lease that sets the deadline: the others are retried as if the registry were silent, so that
/// many leases do not flood it either.
const RETRIES_PER_TTL: u32 = 60;
/// The minimum time between the hard deadline and the end of the lease, because clock rates differ.
const MIN_MARGIN: Duration = Duration::from_secs(1);

/// After this many consecutive renewals of one lease that find another cluster at all endpoints,
/// the session is over. This many are not the mistake of one connection, and others may take the
/// session's names there. Renewals of several leases at once can be the mistake of one connection.
const WRONG_CLUSTER_RENEWALS: u32 = 3;

/// A heartbeat that is later than this is reported as a stall.
const REPORTED_STALL: Duration = Duration::from_secs(1);
/// The most that one check adds to a stall. The keeper checks every 50 ms; when it is much later
/// than that, the process was stopped or the machine suspended, and the runtime had no more chance
/// to run than the keeper had. The limit gives the runtime that chance. It is not zero, so that
/// stalls also count on a machine that is always late.
const COUNTED_PER_LOOK: Duration = Duration::from_millis(250);

/// A command of the keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeeperCommand {
    /// Send a renewal that counts from `sent`, and abandon it after `limit`.
    Renew {
        lease: LeaseId,
        sent: Timestamp,
        limit: Duration,
    },
    /// Move the fence.
    Extend { soft: Timestamp, hard: Timestamp },
    /// The session is over.
    Fence(FenceReason),
}

/// A report of the keeper about the runtime on which the session's other tasks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StallReport {
    /// The runtime has not run the heartbeat for this long so far.
    Began { silence: Duration },
    /// The runtime runs again, after a stall of this length.
    Ended { lasted: Duration },
}

/// Returns the maximum duration of one exchange with the registry under a lease of this time to
/// live.
pub(crate) fn try_limit(ttl: Duration) -> Duration {
    ttl * TRY_LIMIT_FIFTEENTHS / 15
}

/// Returns the time between two renewals of a lease of this time to live.
pub(super) fn renewal_interval(ttl: Duration) -> Duration {
    ttl / RENEWALS_PER_TTL
}

/// Returns the soft and the hard deadline that follow from a renewal sent at `sent`.
pub(crate) fn deadlines(sent: Timestamp, ttl: Duration) -> (Timestamp, Timestamp) {
    let margin = MIN_MARGIN.max(ttl / 10);
    (sent + ttl * 2 / 3, sent + ttl.saturating_sub(margin))
}

/// The leases of one session, and the signs of life of the runtime that depends on them.
#[derive(Debug)]
pub(crate) struct Keeper {
    leases: Vec<KeptLease>,
    /// When the first lease was requested.
    origin: Timestamp,
    max_stall: Duration,
    /// The last heartbeat that was seen.
    beat: Timestamp,
    /// When the heartbeat was last checked.
    looked: Option<Timestamp>,
    /// How long the heartbeat was missing while this keeper ran.
    silence: Duration,
    stall_reported: bool,
    over: bool,
}

#[derive(Debug)]
struct KeptLease {
    id: LeaseId,
    /// The time to live with which it was granted.
    granted: Duration,
    /// The time to live that the last confirmed renewal reported.
    ttl: Duration,
    phase: RenewalPhase,
    /// When the last confirmed renewal was sent.
    confirmed: Timestamp,
    /// When the renewal that is under way was sent.
    trying: Option<Timestamp>,
    next: Timestamp,
    /// When the last renewal was sent, if it failed.
    failed: Option<Timestamp>,
    /// The number of consecutive renewals that found another cluster.
    wrong_cluster_renewals: u32,
}

impl Keeper {
    /// Creates a keeper for leases that were granted by requests sent at these times. The session
    /// is over when the heartbeat has been missing for `max_stall`.
    pub(crate) fn new(
        granted: impl IntoIterator<Item = (LeaseId, Duration, Timestamp)>,
        max_stall: Duration,
    ) -> Self {
        let mut keeper = Self {
            leases: Vec::new(),
            origin: Timestamp::ZERO,
            max_stall,
            beat: Timestamp::ZERO,
            looked: None,
            silence: Duration::ZERO,
            stall_reported: false,
            over: false,
        };
        for (id, ttl, sent) in granted {
            keeper.keep(id, ttl, sent, sent);
        }
        keeper
    }

    /// Adds a lease that was granted by a request sent at `sent`, unless it is too late for that:
    /// the session is over, or the lease could expire soon. A lease that is not added carries no
    /// name.
    ///
    /// Nothing may be registered under the lease before the fence has moved to the deadlines that
    /// are returned.
    pub(crate) fn add(
        &mut self,
        lease: LeaseId,
        ttl: Duration,
        sent: Timestamp,
        now: Timestamp,
    ) -> Option<KeeperCommand> {
        if self.over || now >= deadlines(sent, ttl).0 || now >= self.deadlines().0 {
            return None;
        }
        let earliest = now + renewal_interval(ttl) / FIRST_RENEWAL_FRACTION;
        self.keep(lease, ttl, sent, earliest);
        let (soft, hard) = self.deadlines();
        Some(KeeperCommand::Extend { soft, hard })
    }

    fn keep(&mut self, id: LeaseId, ttl: Duration, sent: Timestamp, earliest: Timestamp) {
        if self.leases.is_empty() {
            self.origin = sent;
        }
        let number = u32::try_from(self.leases.len()).unwrap_or(u32::MAX);
        let phase = RenewalPhase::of(self.origin, number);
        self.leases.push(KeptLease {
            id,
            granted: ttl,
            ttl,
            phase,
            confirmed: sent,
            trying: None,
            next: phase.next(sent, renewal_interval(ttl)).max(earliest),
            failed: None,
            wrong_cluster_renewals: 0,
        });
    }

    /// Whether the deadlines of the session are those of this lease. If several leases have the
    /// same ones, this is the first of them.
    pub(crate) fn sets_deadline(&self, lease: LeaseId) -> bool {
        let leases = self.leases.iter();
        let sets = leases.min_by_key(|kept| deadlines(kept.confirmed, kept.ttl).0);
        sets.is_some_and(|kept| kept.id == lease)
    }

    /// Returns the deadlines of the session: those of its oldest confirmed renewal.
    pub(crate) fn deadlines(&self) -> (Timestamp, Timestamp) {
        self.leases
            .iter()
            .map(|kept| deadlines(kept.confirmed, kept.ttl))
            .reduce(|a, b| (a.0.min(b.0), a.1.min(b.1)))
            .unwrap_or((Timestamp::ZERO, Timestamp::ZERO))
    }

    /// Returns when [`tick`](Self::tick) next has something to do, apart from replies and stalls.
    pub(crate) fn wakes_at(&self) -> Timestamp {
        let (soft, _) = self.deadlines();
        self.leases
            .iter()
            .filter(|kept| kept.trying.is_none())
            .map(|kept| kept.next)
            .fold(soft, Timestamp::min)
    }

    /// Records that the last heartbeat was at `beat`, and returns the stall that has begun or
    /// ended. [`tick`](Self::tick) decides whether a stall ends the session. Once the session is
    /// over, this method still reports how long a stall lasted.
    pub(crate) fn look(&mut self, now: Timestamp, beat: Timestamp) -> Option<StallReport> {
        let ran = now.since(self.looked.unwrap_or(now)).min(COUNTED_PER_LOOK);
        self.looked = Some(now);
        if beat == self.beat {
            self.silence += ran;
            if self.stall_reported || self.silence < REPORTED_STALL {
                return None;
            }
            self.stall_reported = true;
            let silence = self.silence;
            return Some(StallReport::Began { silence });
        }
        self.beat = beat;
        let silence = now.since(beat).min(ran);
        let lasted = self.silence + (ran - silence);
        self.silence = silence;
        let ended = std::mem::take(&mut self.stall_reported);
        ended.then_some(StallReport::Ended { lasted })
    }

    /// Ends a stall with the session: the runtime itself ends the session, so it runs again.
    pub(crate) fn end(&mut self) -> Option<StallReport> {
        let ended = std::mem::take(&mut self.stall_reported);
        ended.then_some(StallReport::Ended {
            lasted: self.silence,
        })
    }

    /// Handles the death of a task that the session needs.
    pub(crate) fn task_died(&mut self) -> Vec<KeeperCommand> {
        if self.over {
            return Vec::new();
        }
        self.fence(FenceReason::TaskDied)
    }

    /// Handles the passing of time: sends the renewals that are due, and fences at the soft
    /// deadline or after too long a stall.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Vec<KeeperCommand> {
        if self.over {
            return Vec::new();
        }
        if now >= self.deadlines().0 {
            return self.fence(FenceReason::Deadline);
        }
        if self.silence >= self.max_stall {
            return self.fence(FenceReason::RuntimeStalled);
        }
        self.leases
            .iter_mut()
            .filter(|kept| kept.trying.is_none() && now >= kept.next)
            .map(|kept| {
                kept.trying = Some(now);
                KeeperCommand::Renew {
                    lease: kept.id,
                    sent: now,
                    limit: try_limit(kept.ttl),
                }
            })
            .collect()
    }

    /// Handles a reply to the renewal sent at `sent`, which reported this time to live.
    pub(crate) fn renewed(
        &mut self,
        lease: LeaseId,
        sent: Timestamp,
        ttl: Duration,
        now: Timestamp,
    ) -> Vec<KeeperCommand> {
        if ttl.is_zero() {
            return self.gone(lease, sent);
        }
        if self.over {
            return Vec::new();
        }
        if now >= self.deadlines().0 {
            return self.fence(FenceReason::Deadline);
        }
        let Some(kept) = self.trying(lease, sent) else {
            return Vec::new();
        };
        kept.trying = None;
        kept.confirmed = sent;
        // A longer time than it was granted for is not true.
        kept.ttl = ttl.min(kept.granted);
        kept.next = kept.phase.next(sent, renewal_interval(kept.ttl));
        kept.failed = None;
        for kept in &mut self.leases {
            kept.wrong_cluster_renewals = 0;
            if let Some(failed) = kept.failed {
                // The registry answers again.
                let soon = now.max(failed + kept.ttl / RETRIES_PER_TTL);
                kept.next = kept.next.min(soon);
            }
        }
        let (soft, hard) = self.deadlines();
        vec![KeeperCommand::Extend { soft, hard }]
    }

    /// Handles that the renewal sent at `sent` found another cluster at every endpoint.
    pub(crate) fn found_other_cluster(
        &mut self,
        lease: LeaseId,
        sent: Timestamp,
        now: Timestamp,
    ) -> Vec<KeeperCommand> {
        let Some(kept) = self.trying(lease, sent) else {
            return Vec::new();
        };
        kept.wrong_cluster_renewals += 1;
        let changed = kept.wrong_cluster_renewals >= WRONG_CLUSTER_RENEWALS;
        self.failed(lease, sent, now);
        match changed {
            true => self.cluster_changed(),
            false => Vec::new(),
        }
    }

    /// Handles that the registry is no longer the same one.
    pub(crate) fn cluster_changed(&mut self) -> Vec<KeeperCommand> {
        if self.over {
            return Vec::new();
        }
        self.fence(FenceReason::ClusterChanged)
    }

    /// Handles that the renewal sent at `sent` failed or was abandoned.
    pub(crate) fn failed(&mut self, lease: LeaseId, sent: Timestamp, now: Timestamp) {
        let sets_deadline = self.sets_deadline(lease);
        if let Some(kept) = self.trying(lease, sent) {
            let pause = match sets_deadline {
                true => kept.ttl / RETRIES_PER_TTL,
                false => try_limit(kept.ttl),
            };
            kept.trying = None;
            kept.failed = Some(sent);
            kept.next = now.max(sent + pause);
        }
    }

    /// Handles a reply to the renewal sent at `sent`, which reported that the lease is gone.
    pub(crate) fn gone(&mut self, lease: LeaseId, sent: Timestamp) -> Vec<KeeperCommand> {
        if self.over || self.trying(lease, sent).is_none() {
            return Vec::new();
        }
        self.fence(FenceReason::LeaseLost)
    }

    fn trying(&mut self, lease: LeaseId, sent: Timestamp) -> Option<&mut KeptLease> {
        self.leases
            .iter_mut()
            .find(|kept| kept.id == lease && kept.trying == Some(sent))
    }

    fn fence(&mut self, reason: FenceReason) -> Vec<KeeperCommand> {
        self.over = true;
        vec![KeeperCommand::Fence(reason)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const TTL: Duration = Duration::from_secs(15);
    const A: LeaseId = LeaseId(1);
    const B: LeaseId = LeaseId(2);

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    const MAX_STALL: Duration = Duration::from_secs(4);

    fn one() -> Keeper {
        Keeper::new([(A, TTL, at(0))], MAX_STALL)
    }

    fn renew(lease: LeaseId, millis: u64) -> KeeperCommand {
        KeeperCommand::Renew {
            lease,
            sent: at(millis),
            limit: Duration::from_secs(2),
        }
    }

    fn extend(soft: u64, hard: u64) -> KeeperCommand {
        KeeperCommand::Extend {
            soft: at(soft),
            hard: at(hard),
        }
    }

    #[test]
    fn the_deadlines_are_those_of_the_table() {
        assert_eq!(deadlines(at(0), TTL), (at(10_000), at(13_500)));
        assert_eq!(
            deadlines(at(7), Duration::from_secs(60)),
            (at(40_007), at(54_007))
        );
        // For a time to live below ten seconds the margin stays at one second.
        let (soft, hard) = deadlines(at(0), Duration::from_secs(6));
        assert_eq!((soft, hard), (at(4_000), at(5_000)));
        assert_eq!(try_limit(TTL), Duration::from_secs(2));
        assert_eq!(try_limit(Duration::from_secs(30)), Duration::from_secs(4));
    }

    #[test]
    fn renews_every_fifth_of_the_ttl_one_at_a_time() {
        let mut keeper = one();
        assert_eq!(keeper.wakes_at(), at(3_000));
        assert_eq!(keeper.tick(at(2_999)), []);
        assert_eq!(keeper.tick(at(3_000)), [renew(A, 3_000)]);
        assert_eq!(keeper.tick(at(4_000)), []);
        assert_eq!(keeper.wakes_at(), at(10_000));
        assert_eq!(
            keeper.renewed(A, at(3_000), TTL, at(4_900)),
            [extend(13_000, 16_500)]
        );
        assert_eq!(keeper.wakes_at(), at(6_000));
        assert_eq!(keeper.tick(at(6_000)), [renew(A, 6_000)]);
    }

    #[test]
    fn a_failed_try_is_repeated_at_once_but_not_in_a_storm() {
        let mut keeper = one();
        keeper.tick(at(3_000));
        keeper.failed(A, at(3_000), at(5_000));
        assert_eq!(keeper.wakes_at(), at(5_000));
        assert_eq!(keeper.tick(at(5_000)), [renew(A, 5_000)]);
        keeper.failed(A, at(5_000), at(5_001));
        assert_eq!(keeper.wakes_at(), at(5_250));
        assert_eq!(keeper.tick(at(5_249)), []);
        assert_eq!(keeper.tick(at(5_250)), [renew(A, 5_250)]);
    }

    #[test]
    fn another_cluster_ends_the_session_when_renewals_in_a_row_have_found_it() {
        let over = [KeeperCommand::Fence(FenceReason::ClusterChanged)];
        let mut keeper = one();
        let mut stray = |millis, renewed| {
            assert_eq!(keeper.tick(at(millis)), [renew(A, millis)]);
            if renewed {
                keeper.renewed(A, at(millis), TTL, at(millis));
                return vec![];
            }
            keeper.found_other_cluster(A, at(millis), at(millis))
        };
        assert_eq!(stray(3_000, false), []);
        assert_eq!(stray(3_250, false), []);
        assert_eq!(stray(3_500, true), []);
        assert_eq!(stray(6_500, false), []);
        assert_eq!(stray(6_750, false), []);
        assert_eq!(stray(7_000, false), over);
        assert_eq!(keeper.tick(at(7_250)), []);
        assert_eq!(keeper.cluster_changed(), []);
        assert_eq!(one().cluster_changed(), over);
    }

    #[test]
    fn only_the_reply_to_the_send_that_is_on_its_way_counts() {
        let mut keeper = one();
        keeper.tick(at(3_000));
        keeper.failed(A, at(2_000), at(5_000));
        assert_eq!(
            keeper.wakes_at(),
            at(10_000),
            "a failure of another renewal is ignored"
        );
        keeper.failed(A, at(3_000), at(5_000));
        assert_eq!(keeper.renewed(A, at(3_000), TTL, at(5_000)), []);
        assert_eq!(keeper.gone(A, at(3_000)), []);
        keeper.tick(at(5_000));
        assert_eq!(keeper.renewed(A, at(3_000), TTL, at(5_001)), []);
        assert_eq!(keeper.renewed(B, at(5_000), TTL, at(5_001)), []);
        assert_eq!(keeper.deadlines(), (at(10_000), at(13_500)));
        assert_eq!(
            keeper.renewed(A, at(5_000), TTL, at(5_001)),
            [extend(15_000, 18_500)]
        );
    }

    #[test]
    fn is_over_at_the_soft_deadline_and_stays_so() {
        let mut keeper = one();
        keeper.tick(at(9_000));
        assert_eq!(keeper.tick(at(9_999)), []);
        assert_eq!(
            keeper.tick(at(10_000)),
            [KeeperCommand::Fence(FenceReason::Deadline)]
        );
        assert_eq!(keeper.tick(at(10_001)), []);
        assert_eq!(keeper.renewed(A, at(9_000), TTL, at(10_001)), []);
        assert_eq!(keeper.gone(A, at(9_000)), []);
        assert_eq!(keeper.deadlines(), (at(10_000), at(13_500)));
    }

    #[test]
    fn a_reply_that_is_read_after_the_soft_deadline_is_too_late() {
        let mut keeper = one();
        keeper.tick(at(9_000));
        assert_eq!(
            keeper.renewed(A, at(9_000), TTL, at(10_000)),
            [KeeperCommand::Fence(FenceReason::Deadline)]
        );
        let mut keeper = one();
        keeper.tick(at(9_000));
        assert_eq!(
            keeper.renewed(A, at(9_000), TTL, at(9_999)),
            [extend(19_000, 22_500)]
        );
    }

    #[test]
    fn a_lease_that_is_gone_ends_it() {
        for gone in [
            |keeper: &mut Keeper| keeper.gone(A, at(3_000)),
            |keeper: &mut Keeper| keeper.renewed(A, at(3_000), Duration::ZERO, at(3_100)),
        ] {
            let mut keeper = Keeper::new([(A, TTL, at(0)), (B, TTL, at(0))], MAX_STALL);
            keeper.tick(at(3_000));
            assert_eq!(
                gone(&mut keeper),
                [KeeperCommand::Fence(FenceReason::LeaseLost)]
            );
            assert_eq!(keeper.tick(at(99_000)), []);
        }
    }

    #[test]
    fn the_granted_ttl_may_change() {
        let mut keeper = one();
        keeper.tick(at(3_000));
        let short = Duration::from_secs(6);
        assert_eq!(
            keeper.renewed(A, at(3_000), short, at(3_001)),
            [extend(7_000, 8_000)]
        );
        // The renewals come in their phase, and never later than a fifth of the time to live.
        assert_eq!(keeper.wakes_at(), at(3_600));
    }

    #[test]
    fn several_leases_have_the_deadlines_of_the_oldest() {
        let mut keeper = Keeper::new([(A, TTL, at(0)), (B, TTL, at(1_000))], MAX_STALL);
        assert_eq!(keeper.deadlines(), (at(10_000), at(13_500)));
        assert!(keeper.sets_deadline(A) && !keeper.sets_deadline(B));
        // The renewals of B come half an interval after those of A.
        assert_eq!(keeper.wakes_at(), at(1_500));
        assert_eq!(keeper.tick(at(1_500)), [renew(B, 1_500)]);
        assert_eq!(keeper.tick(at(3_500)), [renew(A, 3_500)]);
        assert_eq!(
            keeper.renewed(A, at(3_500), TTL, at(3_501)),
            [extend(11_000, 14_500)]
        );
        assert!(keeper.sets_deadline(B) && !keeper.sets_deadline(A));
        assert_eq!(
            keeper.renewed(B, at(1_500), TTL, at(3_502)),
            [extend(11_500, 15_000)]
        );
        // A late renewal does not move the phase.
        assert_eq!(keeper.wakes_at(), at(4_500));
        assert_eq!(keeper.tick(at(4_500)), [renew(B, 4_500)]);
        assert_eq!(keeper.tick(at(6_000)), [renew(A, 6_000)]);
    }

    #[test]
    fn a_lease_that_is_added_counts_from_its_request() {
        let mut keeper = one();
        assert_eq!(
            keeper.add(B, TTL, at(500), at(700)),
            Some(extend(10_000, 13_500))
        );
        // Its phase would have it renewed at 1,500 already.
        assert_eq!(keeper.wakes_at(), at(2_200));
        assert_eq!(keeper.tick(at(2_200)), [renew(B, 2_200)]);
        assert_eq!(keeper.tick(at(3_000)), [renew(A, 3_000)]);
        keeper.renewed(A, at(3_000), TTL, at(3_000));
        assert_eq!(keeper.deadlines(), (at(10_500), at(14_000)));
        // A lease of a shorter time moves the deadlines back.
        let short = Duration::from_secs(6);
        let added = keeper.add(LeaseId(3), short, at(3_100), at(3_200));
        assert_eq!(added, Some(extend(7_100, 8_100)));
    }

    #[test]
    fn the_first_renewal_of_a_lease_that_is_added_is_neither_early_nor_late() {
        for (sent, now, first) in [
            // In its phase, which is at 1,500, if that is late enough.
            (1_600, 1_700, 4_500),
            (0, 0, 1_500),
            (0, 1, 1_501),
            (1_499, 1_499, 2_999),
            // The grant took long.
            (0, 1_900, 3_400),
            (0, 5_000, 6_500),
        ] {
            let mut keeper = one();
            assert!(keeper.add(B, TTL, at(sent), at(now)).is_some());
            let next = keeper.leases[1].next;
            assert_eq!(next, at(first), "{sent} {now}");
        }
    }

    #[test]
    fn many_leases_do_not_flood_a_registry_that_refuses() {
        let number = 50;
        let granted = (0..number).map(|id| (LeaseId(id), TTL, at(id as u64)));
        let mut keeper = Keeper::new(granted, MAX_STALL);
        let mut sent = Vec::new();
        // All of them are due at once.
        for now in (3_100..6_100).step_by(10) {
            for command in keeper.tick(at(now)) {
                if let KeeperCommand::Renew {
                    lease, sent: time, ..
                } = command
                {
                    sent.push((lease, now));
                    keeper.failed(lease, time, at(now));
                }
            }
        }
        // The one that sets the deadline every 250 ms, the others every 2 s.
        let of_first = sent.iter().filter(|(lease, _)| *lease == LeaseId(0));
        assert_eq!(of_first.count(), 12);
        assert_eq!(sent.len(), 12 + 2 * (number as usize - 1));
        // Once one is answered, so are the others.
        let now = at(6_200);
        assert_eq!(keeper.tick(now).len(), 1);
        let later = at(6_201);
        assert_eq!(
            keeper.renewed(LeaseId(0), now, TTL, later),
            [extend(10_001, 13_501)]
        );
        assert_eq!(keeper.wakes_at(), later);
        assert_eq!(keeper.tick(later).len(), number as usize - 1);
        // But not those that have only just failed.
        keeper.failed(LeaseId(5), later, later);
        assert_eq!(keeper.wakes_at(), at(8_201));
        keeper.renewed(LeaseId(2), later, TTL, later);
        assert_eq!(keeper.wakes_at(), at(6_451));
    }

    #[test]
    fn leases_that_were_renewed_together_do_not_flood_a_registry_that_refuses() {
        let number = 50;
        let granted = (0..number).map(|id| (LeaseId(id), TTL, at(0)));
        let mut keeper = Keeper::new(granted, MAX_STALL);
        let mut sent = 0;
        for now in (3_000..6_000).step_by(10) {
            for command in keeper.tick(at(now)) {
                if let KeeperCommand::Renew {
                    lease, sent: time, ..
                } = command
                {
                    sent += 1;
                    keeper.failed(lease, time, at(now));
                }
            }
        }
        // One of them every 250 ms, the others every 2 s.
        assert!(sent <= 13 + 2 * number, "{sent}");
    }

    #[test]
    fn a_lease_that_comes_too_late_is_not_added() {
        let mut keeper = one();
        keeper.tick(at(3_000));
        keeper.renewed(A, at(3_000), TTL, at(3_000));
        assert_eq!(keeper.add(B, TTL, at(100), at(10_100)), None);
        assert_eq!(keeper.deadlines(), (at(13_000), at(16_500)));
        assert!(keeper.add(B, TTL, at(101), at(10_100)).is_some());
        assert_eq!(keeper.deadlines(), (at(10_101), at(13_601)));

        // Nor is one that is granted when the session should be over.
        let mut keeper = one();
        assert_eq!(keeper.add(B, TTL, at(9_000), at(10_000)), None);
        let mut keeper = one();
        keeper.task_died();
        assert_eq!(keeper.add(B, TTL, at(0), at(1)), None);
    }

    #[test]
    fn a_renewal_of_one_of_several_that_fails_ends_all_at_its_deadline() {
        let mut keeper = Keeper::new([(A, TTL, at(0)), (B, TTL, at(0))], MAX_STALL);
        let mut now = 0;
        while keeper.deadlines().0 > at(now) {
            now += 250;
            for command in keeper.tick(at(now)) {
                match command {
                    KeeperCommand::Renew { lease: A, sent, .. } => {
                        keeper.renewed(A, sent, TTL, at(now));
                    }
                    KeeperCommand::Renew { lease, sent, .. } => {
                        keeper.failed(lease, sent, at(now));
                    }
                    KeeperCommand::Fence(reason) => assert_eq!(reason, FenceReason::Deadline),
                    KeeperCommand::Extend { .. } => unreachable!("a tick moves no deadline"),
                }
            }
        }
        assert_eq!(now, 10_000);
        assert!(keeper.sets_deadline(B));
        assert_eq!(keeper.tick(at(10_001)), []);
    }

    #[test]
    fn a_renewal_of_one_of_several_that_is_refused_ends_all_at_once() {
        let mut keeper = Keeper::new([(A, TTL, at(0)), (B, TTL, at(0))], MAX_STALL);
        assert_eq!(keeper.tick(at(1_500)), [renew(B, 1_500)]);
        assert_eq!(
            keeper.gone(B, at(1_500)),
            [KeeperCommand::Fence(FenceReason::LeaseLost)]
        );
        assert_eq!(keeper.tick(at(3_000)), []);
    }

    #[test]
    fn a_longer_time_to_live_than_was_granted_is_not_believed() {
        let mut keeper = one();
        keeper.tick(at(3_000));
        assert_eq!(
            keeper.renewed(A, at(3_000), 100 * TTL, at(3_001)),
            [extend(13_000, 16_500)]
        );
        assert_eq!(keeper.wakes_at(), at(6_000));
    }

    #[test]
    fn several_leases_that_find_another_cluster_at_once_prove_nothing() {
        let leases = [1, 2, 3, 4].map(|id| (LeaseId(id), TTL, at(0)));
        let over = KeeperCommand::Fence(FenceReason::ClusterChanged);
        let mut keeper = Keeper::new(leases, MAX_STALL);
        let mut found = 0;
        for round in 1..4_u64 {
            let now = at(3_000 * round);
            let sent = keeper.tick(now);
            assert_eq!(sent.len(), 4, "{round}");
            for id in 1..=4 {
                let commands = keeper.found_other_cluster(LeaseId(id), now, now);
                found += 1;
                match round {
                    3 if id == 1 => assert_eq!(commands, [over]),
                    _ => assert_eq!(commands, [], "{round} {id}"),
                }
            }
        }
        assert_eq!(found, 12);

        // One answer of the right cluster is enough.
        let mut keeper = Keeper::new([(A, TTL, at(0)), (B, TTL, at(0))], MAX_STALL);
        for round in 1..4_u64 {
            let now = at(3_000 * round);
            keeper.tick(now);
            keeper.renewed(B, now, TTL, now);
            assert_eq!(keeper.found_other_cluster(A, now, now), []);
        }
        // A stray reply is not counted.
        assert_eq!(keeper.found_other_cluster(A, at(1), at(5_000)), []);
    }

    /// Checks a heartbeat that was last at `beat` every 50 ms, from one time to another.
    fn look(keeper: &mut Keeper, from: u64, to: u64, beat: u64) -> Vec<StallReport> {
        (from..=to)
            .step_by(50)
            .filter_map(|millis| keeper.look(at(millis), at(beat)))
            .collect()
    }

    fn began(millis: u64) -> StallReport {
        StallReport::Began {
            silence: Duration::from_millis(millis),
        }
    }

    fn ended(millis: u64) -> StallReport {
        StallReport::Ended {
            lasted: Duration::from_millis(millis),
        }
    }

    #[test]
    fn a_runtime_that_is_stalled_for_max_stall_is_fenced() {
        let mut keeper = one();
        assert_eq!(look(&mut keeper, 10, 960, 10), []);
        assert_eq!(look(&mut keeper, 1_010, 1_010, 10), [began(1_000)]);
        assert_eq!(look(&mut keeper, 1_060, 3_960, 10), [], "reported once");
        // The stall is not too long yet, so the lease is still renewed.
        assert_eq!(keeper.tick(at(3_960)), [renew(A, 3_960)]);
        assert_eq!(
            keeper.renewed(A, at(3_960), TTL, at(3_970)),
            [extend(13_960, 17_460)]
        );
        assert_eq!(keeper.tick(at(4_009)), []);
        assert_eq!(look(&mut keeper, 4_010, 4_010, 10), []);
        assert_eq!(
            keeper.tick(at(4_010)),
            [KeeperCommand::Fence(FenceReason::RuntimeStalled)]
        );
        assert_eq!(keeper.tick(at(7_000)), []);
        // The length is reported once the runtime runs again, however late.
        assert_eq!(look(&mut keeper, 4_060, 20_010, 10), []);
        assert_eq!(look(&mut keeper, 20_060, 20_060, 20_040), [ended(20_030)]);
    }

    #[test]
    fn a_stall_that_ends_with_the_session_is_reported_too() {
        let mut keeper = one();
        assert_eq!(look(&mut keeper, 0, 5_000, 0), [began(1_000)]);
        assert_eq!(keeper.end(), Some(ended(5_000)));
        assert_eq!(keeper.end(), None);
        let mut keeper = one();
        assert_eq!(look(&mut keeper, 0, 900, 0), []);
        assert_eq!(keeper.end(), None);
    }

    #[test]
    fn a_runtime_that_recovers_in_time_loses_nothing() {
        let mut keeper = one();
        assert_eq!(look(&mut keeper, 0, 3_950, 0), [began(1_000)]);
        assert_eq!(look(&mut keeper, 4_000, 4_000, 3_980), [ended(3_980)]);
        // The next stall counts from the last heartbeat before it, and is reported again.
        assert_eq!(look(&mut keeper, 4_050, 4_950, 3_980), []);
        assert_eq!(look(&mut keeper, 5_000, 5_000, 3_980), [began(1_020)]);
        assert_eq!(keeper.tick(at(5_000)), [renew(A, 5_000)]);
        assert_eq!(look(&mut keeper, 5_050, 7_950, 3_980), []);
        assert_eq!(keeper.tick(at(7_950)), []);
        look(&mut keeper, 8_000, 8_000, 3_980);
        assert_eq!(
            keeper.tick(at(8_000)),
            [KeeperCommand::Fence(FenceReason::RuntimeStalled)]
        );
    }

    #[test]
    fn a_heartbeat_that_is_not_late_is_no_stall() {
        let mut keeper = one();
        for beat in (0..9_000).step_by(900) {
            assert_eq!(look(&mut keeper, beat, beat + 850, beat), []);
        }
    }

    #[test]
    fn a_process_that_was_stopped_is_not_taken_for_a_stalled_runtime() {
        let mut keeper = one();
        look(&mut keeper, 0, 900, 0);
        look(&mut keeper, 950, 1_000, 950);
        // Stopped for 8 s: the keeper runs first, and the heartbeat has not run since.
        assert_eq!(look(&mut keeper, 9_000, 9_000, 950), []);
        assert_eq!(keeper.tick(at(9_000)), [renew(A, 9_000)]);
        // One check counts for at most 250 ms, so the stall begins now.
        assert_eq!(look(&mut keeper, 9_050, 9_650, 950), []);
        assert_eq!(look(&mut keeper, 9_700, 9_700, 950), [began(1_000)]);
        // Stopped once more, for longer than the lease lives: now the deadline has passed.
        look(&mut keeper, 99_000, 99_000, 950);
        assert_eq!(
            keeper.tick(at(99_000)),
            [KeeperCommand::Fence(FenceReason::Deadline)]
        );
    }

    #[test]
    fn a_heartbeat_from_before_a_stop_counts_no_more_than_the_keeper_ran() {
        let mut keeper = one();
        look(&mut keeper, 0, 900, 0);
        look(&mut keeper, 950, 1_000, 950);
        // The last beat before the stop of 5 s is only noticed afterwards.
        assert_eq!(look(&mut keeper, 6_000, 6_000, 1_040), []);
        assert_eq!(look(&mut keeper, 6_050, 6_700, 1_040), []);
        assert_eq!(look(&mut keeper, 6_750, 6_750, 1_040), [began(1_000)]);
    }

    #[test]
    fn a_stall_counts_on_a_machine_that_is_always_late() {
        let mut keeper = one();
        let late = (0..=14).filter_map(|look| keeper.look(at(600 * look), at(0)));
        assert_eq!(late.collect::<Vec<_>>(), [began(1_000)]);
        assert_eq!(keeper.tick(at(8_400)), [renew(A, 8_400)]);
        keeper.look(at(9_000), at(0));
        keeper.look(at(9_600), at(0));
        assert_eq!(
            keeper.tick(at(9_600)),
            [KeeperCommand::Fence(FenceReason::RuntimeStalled)]
        );
    }

    #[test]
    fn a_task_that_died_ends_it_once() {
        let mut keeper = one();
        assert_eq!(
            keeper.task_died(),
            [KeeperCommand::Fence(FenceReason::TaskDied)]
        );
        assert_eq!(keeper.task_died(), []);
        assert_eq!(keeper.tick(at(3_000)), []);
        let mut keeper = one();
        keeper.tick(at(10_000));
        assert_eq!(keeper.task_died(), []);
    }

    /// A step of the property test.
    #[derive(Debug, Clone, Copy)]
    enum KeeperStep {
        /// Time passes, in milliseconds.
        Wait(u64),
        /// A lease is granted by a request that was sent this many milliseconds ago.
        Add(u64),
        /// The oldest renewal under way is answered, or fails.
        Answer(bool),
    }

    fn keeper_steps() -> impl Strategy<Value = Vec<KeeperStep>> {
        let step = prop_oneof![
            6 => (1..900_u64).prop_map(KeeperStep::Wait),
            1 => (0..11_000_u64).prop_map(KeeperStep::Add),
            8 => prop::bool::weighted(0.8).prop_map(KeeperStep::Answer),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        /// The session never lives beyond two thirds of the time to live of any lease, counted from
        /// the last renewal of that lease that was confirmed.
        #[test]
        fn the_deadlines_are_those_of_every_lease(steps in keeper_steps()) {
            let mut now = 20_000_u64;
            let mut keeper = Keeper::new([(LeaseId(0), TTL, at(now))], MAX_STALL);
            let mut confirmed = vec![at(now)];
            let mut fence = keeper.deadlines();
            // When each lease was added.
            let mut added = vec![at(now)];
            let mut renewed = vec![false];
            let mut under_way = VecDeque::new();
            let mut over = false;
            for step in steps {
                let mut commands = Vec::new();
                match step {
                    KeeperStep::Wait(millis) => now += millis,
                    KeeperStep::Add(ago) => {
                        let lease = LeaseId(confirmed.len() as i64);
                        let sent = at(now - ago);
                        if let Some(command) = keeper.add(lease, TTL, sent, at(now)) {
                            prop_assert!(!over);
                            added.push(at(now));
                            renewed.push(false);
                            confirmed.push(sent);
                            commands.push(command);
                        }
                    }
                    KeeperStep::Answer(confirms) => {
                        if let Some((lease, sent)) = under_way.pop_front() {
                            let LeaseId(number) = lease;
                            if !confirms {
                                keeper.failed(lease, sent, at(now));
                            } else {
                                commands = keeper.renewed(lease, sent, TTL, at(now));
                                let extends = |command: &_| {
                                    matches!(command, KeeperCommand::Extend { .. })
                                };
                                if commands.iter().any(extends) {
                                    confirmed[number as usize] = sent;
                                }
                            }
                        }
                    }
                }
                commands.extend(keeper.tick(at(now)));
                for command in commands {
                    prop_assert!(!over, "a command after the end: {command:?}");
                    match command {
                        KeeperCommand::Renew { lease, sent, .. } => {
                            let trying = under_way.iter().any(|(other, _)| *other == lease);
                            prop_assert!(!trying, "two renewals of a lease at once");
                            let number = lease.0 as usize;
                            if !std::mem::replace(&mut renewed[number], true) {
                                let late = confirmed[number] + TTL / 5;
                                let early = (added[number] + TTL / 10).min(late);
                                prop_assert!(sent >= early, "an early renewal");
                            }
                            under_way.push_back((lease, sent));
                        }
                        KeeperCommand::Extend { soft, hard } => fence = (soft, hard),
                        KeeperCommand::Fence(_) => over = true,
                    }
                }
                let all = confirmed.iter().map(|sent| deadlines(*sent, TTL));
                let first = all.min().unwrap();
                prop_assert_eq!(fence, first);
                prop_assert_eq!(over, at(now) >= first.0);
            }
        }

        /// However many leases there are, their renewals do not come together.
        #[test]
        fn renewals_are_spread_over_the_interval(leases in 1..300_usize) {
            let granted = (0..leases).map(|id| (LeaseId(id as i64), TTL, at(0)));
            let mut keeper = Keeper::new(granted, MAX_STALL);
            let mut sent = Vec::new();
            for millis in (0..9_000).step_by(10) {
                for command in keeper.tick(at(millis)) {
                    if let KeeperCommand::Renew { lease, sent: time, .. } = command {
                        keeper.renewed(lease, time, TTL, time);
                        sent.push(millis);
                    }
                }
            }
            prop_assert!(sent.len() >= 2 * leases);
            // In a tenth of the interval, no more than two tenths of the leases, and one.
            for begin in (0..9_000).step_by(50) {
                let within = |time: &&u64| (begin..begin + 300).contains(*time);
                let count = sent.iter().filter(within).count();
                prop_assert!(count <= leases / 5 + 2, "{count} renewals at {begin}");
            }
        }
    }
}
