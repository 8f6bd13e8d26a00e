//! Decides whether, when and where a failed request is sent again.
//!
//! A request is repeated only if it provably was not executed, or if its caller opted in to
//! repeats. An error from the application is an answer, so it is never a reason to repeat.
//!
//! Nothing here waits or looks anything up; the caller does that, and then asks again.

use std::time::Duration;

use super::policy::RepeatPolicy;
use crate::back_off::{BackOffPolicy, RandomShare};
use crate::error::{RequestError, RequestErrorKind};

/// The pauses between the tries of a request. At most half of each pause is random: a request that
/// is sent again too soon after a rejection would only be rejected again.
///
/// First step: a fast actor empties a mailbox with a capacity of 10 within a tenth of this, so most
/// rejected requests succeed on their second or third try. The goal is a 99th percentile within
/// 10 ms when 256 callers share such a mailbox. A shorter step would cost the peer more rejections
/// for the same number of answers.
///
/// Last step: each waiting caller costs an overloaded peer some ten to twenty rejections a second,
/// and repeats its request within this time once the receiver has room.
const BACK_OFF: BackOffPolicy = BackOffPolicy::new(
    Duration::from_millis(1),
    Duration::from_millis(100),
    RandomShare::Half,
);

/// A request whose last try has just failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct FailedTry<'a> {
    /// The error of the last try.
    pub(super) error: &'a RequestError,
    /// The number of failed tries, including this one.
    pub(super) tries: u32,
    /// The repeats that the caller allows.
    pub(super) policy: RepeatPolicy,
    /// Whether the message is still available. It is not if it was moved by value into a mailbox
    /// that did not give it back; then there is nothing left to send.
    pub(super) message_left: bool,
    /// Whether the caller waits for a name that nobody holds yet.
    pub(super) wait_for_name: bool,
    /// The time until the request's deadline.
    pub(super) time_left: Duration,
}

/// How a failed request continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Return the error to the caller now: no repeat is allowed, or none fits into the remaining
    /// time.
    ///
    /// Under [`RepeatPolicy::Always`] an earlier try may have been executed even if the last one
    /// was rejected. The error that the caller gets must reflect that.
    GiveUp,
    /// Send the request again after the given time.
    Repeat(Repeat),
    /// Wait until the name is registered, but at most for the remaining time; then send the request
    /// to its holder.
    WaitForName,
}

/// How a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeat {
    /// How long to wait before anything else.
    pub(super) after: Duration,
    /// Whether to forget the location to which the request was sent and look the name up again.
    /// [`after_lookup`] then returns how long to wait. If false, the location is kept.
    pub(super) look_up: bool,
}

/// The result of comparing the holder that a lookup found with the one at which the last try
/// failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HolderFound {
    /// The same holder, under the same token.
    Same,
    /// Another holder, or any holder if none was known before.
    Changed,
}

/// Decides how a failed request continues. `random_unit` is uniform in `[0, 1)`.
pub(super) fn decide(failed: &FailedTry<'_>, random_unit: f64) -> Decision {
    let allowed = match failed.policy {
        RepeatPolicy::Never => false,
        RepeatPolicy::IfNotExecuted => !failed.error.may_have_executed(),
        RepeatPolicy::Always => true,
    };
    if !allowed || !failed.message_left {
        return Decision::GiveUp;
    }
    let (after, look_up) = match failed.error.kind() {
        // The location is right, but it has no room.
        RequestErrorKind::Busy => (BACK_OFF.after(failed.tries, random_unit), false),
        // The location was wrong, or the holder may be gone: the registry knows.
        RequestErrorKind::NotHeld
        | RequestErrorKind::MailboxClosed
        | RequestErrorKind::Unreachable
        | RequestErrorKind::ConnectionLost
        | RequestErrorKind::NoReply => (Duration::ZERO, true),
        // The lookup itself failed.
        RequestErrorKind::Registry => (BACK_OFF.after(failed.tries, random_unit), true),
        RequestErrorKind::UnknownName => {
            return if failed.wait_for_name && !failed.time_left.is_zero() {
                Decision::WaitForName
            } else {
                Decision::GiveUp
            };
        }
        // Answers, mistakes that no repeat corrects, no time left, or a closed client.
        RequestErrorKind::InvalidName
        | RequestErrorKind::UnknownMessage
        | RequestErrorKind::InvalidMessage
        | RequestErrorKind::MessageTooLarge
        | RequestErrorKind::ReplyTooLarge
        | RequestErrorKind::UnexpectedReply
        | RequestErrorKind::InvalidHeaders
        | RequestErrorKind::DeadlineExceeded
        | RequestErrorKind::Application
        | RequestErrorKind::AlreadyRunning
        | RequestErrorKind::UnknownActorType
        | RequestErrorKind::StartFailed
        // The peer has waited for as long as the deadline allows.
        | RequestErrorKind::NotReleased
        | RequestErrorKind::StopFailed
        | RequestErrorKind::ClientClosed
        | RequestErrorKind::Unknown => return Decision::GiveUp,
    };
    if failed.time_left > after {
        Decision::Repeat(Repeat { after, look_up })
    } else {
        Decision::GiveUp
    }
}

/// Returns how long to wait between a lookup and the repeat. `None` means that the request fails
/// with the error of the last try.
///
/// Another holder is tried at once. The same one is tried only after a pause: the request has just
/// failed there, and the registry may not reflect that yet (for example, because the holder's
/// session has not ended).
pub(super) fn after_lookup(
    found: HolderFound,
    tries: u32,
    time_left: Duration,
    random_unit: f64,
) -> Option<Duration> {
    let after = match found {
        HolderFound::Changed => Duration::ZERO,
        HolderFound::Same => BACK_OFF.after(tries, random_unit),
    };
    (time_left > after).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Executed;

    use RepeatPolicy::{Always, IfNotExecuted, Never};
    use RequestErrorKind as Kind;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn repeat(after: Duration, look_up: bool) -> Decision {
        Decision::Repeat(Repeat { after, look_up })
    }

    /// A third try that failed with this error, one second before the deadline.
    fn failed(error: &RequestError, policy: RepeatPolicy) -> FailedTry<'_> {
        FailedTry {
            error,
            tries: 3,
            policy,
            message_left: true,
            wait_for_name: false,
            time_left: SECOND,
        }
    }

    /// The decision after a failed third try, with the shortest pause that the jitter allows.
    fn third(
        kind: Kind,
        executed: Executed,
        policy: RepeatPolicy,
        wait_for_name: bool,
    ) -> Decision {
        let error = RequestError::new(kind, executed, "text");
        let failed = FailedTry {
            wait_for_name,
            ..failed(&error, policy)
        };
        decide(&failed, 0.0)
    }

    /// The decision after a failure of this kind, if the policy allows a repeat.
    fn if_allowed(kind: Kind) -> Decision {
        match kind {
            Kind::Busy => repeat(ms(2), false),
            Kind::Registry => repeat(ms(2), true),
            Kind::NotHeld
            | Kind::MailboxClosed
            | Kind::Unreachable
            | Kind::ConnectionLost
            | Kind::NoReply => repeat(Duration::ZERO, true),
            _ => Decision::GiveUp,
        }
    }

    #[test]
    fn repeats_what_was_not_executed() {
        for kind in Kind::ALL {
            for policy in [IfNotExecuted, Always] {
                assert_eq!(
                    third(*kind, Executed::No, policy, false),
                    if_allowed(*kind),
                    "{kind:?}, {policy:?}"
                );
            }
        }
    }

    #[test]
    fn repeats_what_may_have_been_executed_only_if_allowed() {
        for kind in Kind::ALL {
            for executed in [Executed::Maybe, Executed::Yes] {
                for wait_for_name in [false, true] {
                    assert_eq!(
                        third(*kind, executed, IfNotExecuted, wait_for_name),
                        Decision::GiveUp,
                        "{kind:?}"
                    );
                }
                assert_eq!(
                    third(*kind, executed, Always, false),
                    if_allowed(*kind),
                    "{kind:?}"
                );
            }
        }
    }

    #[test]
    fn repeats_nothing_under_the_policy_never() {
        for kind in Kind::ALL {
            for wait_for_name in [false, true] {
                let decision = third(*kind, Executed::No, Never, wait_for_name);
                assert_eq!(decision, Decision::GiveUp, "{kind:?}");
            }
        }
    }

    #[test]
    fn repeats_nothing_once_the_message_is_gone() {
        for kind in Kind::ALL {
            for policy in [IfNotExecuted, Always] {
                let error = RequestError::refused(*kind, "text");
                let failed = FailedTry {
                    message_left: false,
                    ..failed(&error, policy)
                };
                assert_eq!(decide(&failed, 0.0), Decision::GiveUp, "{kind:?}");
            }
        }
    }

    #[test]
    fn an_application_error_is_never_repeated() {
        for executed in [Executed::No, Executed::Maybe, Executed::Yes] {
            assert_eq!(
                third(Kind::Application, executed, Always, true),
                Decision::GiveUp
            );
        }
    }

    #[test]
    fn repeats_only_retryable_errors() {
        for kind in Kind::ALL {
            let error = RequestError::refused(*kind, "text");
            if third(*kind, Executed::No, Always, true) != Decision::GiveUp {
                assert!(error.is_retryable(), "{kind:?}");
            } else if error.is_retryable() {
                // All the available time has been used.
                let out_of_time = [Kind::DeadlineExceeded, Kind::StopFailed, Kind::NotReleased];
                assert!(out_of_time.contains(kind), "{kind:?}");
            }
        }
    }

    #[test]
    fn waits_for_a_name_only_if_requested_and_while_there_is_time() {
        let error = RequestError::unknown_name("worker-7");
        for (wait_for_name, time_left, decision) in [
            (false, SECOND, Decision::GiveUp),
            (true, SECOND, Decision::WaitForName),
            (true, Duration::from_nanos(1), Decision::WaitForName),
            (true, Duration::ZERO, Decision::GiveUp),
        ] {
            let failed = FailedTry {
                wait_for_name,
                time_left,
                ..failed(&error, IfNotExecuted)
            };
            assert_eq!(decide(&failed, 0.5), decision);
        }
        // The option changes nothing for other errors.
        for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::UnknownName) {
            assert_eq!(
                third(*kind, Executed::No, IfNotExecuted, true),
                third(*kind, Executed::No, IfNotExecuted, false),
            );
        }
    }

    #[test]
    fn gives_up_if_the_pause_would_last_until_the_deadline() {
        let nanosecond = Duration::from_nanos(1);
        for (kind, after) in [
            (Kind::Busy, ms(4)),
            (Kind::Registry, ms(4)),
            (Kind::NotHeld, Duration::ZERO),
        ] {
            let error = RequestError::refused(kind, "text");
            let decided = |time_left| {
                let failed = FailedTry {
                    time_left,
                    ..failed(&error, IfNotExecuted)
                };
                decide(&failed, 1.0)
            };
            assert_eq!(decided(after), Decision::GiveUp, "{kind:?}");
            assert_eq!(
                decided(after + nanosecond),
                repeat(after, kind != Kind::Busy)
            );
        }
    }

    #[test]
    fn backs_off_after_a_lookup_that_found_nothing_new() {
        use HolderFound::{Changed, Same};
        let nanosecond = Duration::from_nanos(1);
        for (found, tries, time_left, random_unit, after) in [
            (Changed, 1, SECOND, 1.0, Some(Duration::ZERO)),
            (Changed, 9, SECOND, 1.0, Some(Duration::ZERO)),
            (Changed, 9, nanosecond, 1.0, Some(Duration::ZERO)),
            (Changed, 9, Duration::ZERO, 1.0, None),
            (Same, 1, SECOND, 1.0, Some(ms(1))),
            (Same, 1, SECOND, 0.0, Some(us(500))),
            (Same, 5, SECOND, 1.0, Some(ms(16))),
            (Same, 5, ms(16), 1.0, None),
            (Same, 5, ms(16) + nanosecond, 1.0, Some(ms(16))),
        ] {
            assert_eq!(
                after_lookup(found, tries, time_left, random_unit),
                after,
                "{found:?} {tries} {time_left:?}"
            );
        }
    }

    #[test]
    fn the_back_off_doubles_to_its_limit_and_half_of_it_is_random() {
        let error = RequestError::busy();
        for (tries, step) in [
            (1, ms(1)),
            (2, ms(2)),
            (7, ms(64)),
            (8, ms(100)),
            (u32::MAX, ms(100)),
        ] {
            let failed = FailedTry {
                tries,
                ..failed(&error, IfNotExecuted)
            };
            assert_eq!(decide(&failed, 0.0), repeat(step / 2, false), "{tries}");
            assert_eq!(decide(&failed, 1.0), repeat(step, false), "{tries}");
        }
    }
}
