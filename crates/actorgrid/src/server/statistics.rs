use crate::counter::Counter;
use crate::mailbox::InboxCounters;
use crate::route::serving::AcceptedCounters;

/// What a [`Server`](crate::Server) has counted since it was bound, over all its sessions: see
/// [`ServerHandle::statistics`](crate::ServerHandle::statistics).
///
/// All numbers but [`actors_running`](Self::actors_running) and
/// [`connections_open`](Self::connections_open) only grow. They are read one after the other, so
/// what is going on can show in one of them and not yet in another. Requests are those to the
/// mailboxes of the peer, its own included, from its own process and from others; a repeat counts
/// as one more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatistics {
    /// Requests that were queued in a mailbox. Those that did not fail one way or other below were
    /// answered with a reply, wait for an answer, or their requesters have gone.
    pub requests_admitted: u64,
    /// Requests that were refused because no mailbox of the peer holds the name, or not under the
    /// token that was expected.
    pub refused_not_held: u64,
    /// Requests that were refused because the mailbox was full, or a limit of the peer was reached.
    pub refused_busy: u64,
    /// Requests that were refused because the mailbox had closed, or the peer was draining or
    /// fenced; those that were queued by then are among them.
    pub refused_closed: u64,
    /// Requests that were refused because the mailbox does not take messages of their type.
    pub refused_unknown_message: u64,
    /// Requests that were refused because they could not be read, or were too large.
    pub refused_invalid: u64,
    /// Requests whose deadline passed while they were queued, so that they were not handed out.
    pub requests_expired: u64,
    /// Requests that were answered with an error, by an actor or by the peer itself (a start that
    /// failed, say).
    pub requests_failed: u64,
    /// Requests that were dropped without an answer after they were handed out.
    pub requests_unanswered: u64,
    /// Actors that run now: [started](Self::actors_started) and not [ended](Self::actors_ended).
    pub actors_running: u64,
    /// Actors whose constructors succeeded.
    pub actors_started: u64,
    /// Actors that had started and have ended, for whatever reason.
    pub actors_ended: u64,
    /// Starts that were refused, or failed, before the actor's constructor ran: the name was
    /// taken, say.
    pub starts_refused: u64,
    /// Constructors that did not succeed: failed, panicked, or were stopped.
    pub starts_failed: u64,
    /// Panics of constructors and actors. (Those of tasks that an actor has spawned are logged only.)
    pub actor_panics: u64,
    /// Sessions: the first one, and one for each time that the peer has joined again.
    pub sessions: u64,
    /// Sessions that ended fenced.
    pub sessions_fenced: u64,
    /// Connections that were taken from other processes.
    pub connections_taken: u64,
    /// Connections from other processes that are open now.
    pub connections_open: u64,
}

/// What a server counts about its actors and its sessions.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) actors_started: Counter,
    pub(super) actors_ended: Counter,
    pub(super) starts_refused: Counter,
    pub(super) starts_failed: Counter,
    pub(super) actor_panics: Counter,
    pub(super) sessions: Counter,
    pub(super) sessions_fenced: Counter,
}

impl Counters {
    /// All that was counted, here and elsewhere.
    pub(super) fn read(
        &self,
        doors: &InboxCounters,
        accepted: &AcceptedCounters,
    ) -> ServerStatistics {
        // What ends is read before what begins, so that never more have ended.
        let actors_ended = self.actors_ended.get();
        let actors_started = self.actors_started.get();
        let connections_ended = accepted.ended.get();
        let connections_taken = accepted.taken.get();
        ServerStatistics {
            requests_admitted: doors.admitted.get(),
            refused_not_held: doors.not_held.get(),
            refused_busy: doors.busy.get(),
            refused_closed: doors.closed.get(),
            refused_unknown_message: doors.unknown_message.get(),
            refused_invalid: doors.invalid.get(),
            requests_expired: doors.expired.get(),
            requests_failed: doors.failed.get(),
            requests_unanswered: doors.unanswered.get(),
            actors_running: actors_started.saturating_sub(actors_ended),
            actors_started,
            actors_ended,
            starts_refused: self.starts_refused.get(),
            starts_failed: self.starts_failed.get(),
            actor_panics: self.actor_panics.get(),
            sessions: self.sessions.get(),
            sessions_fenced: self.sessions_fenced.get(),
            connections_taken,
            connections_open: connections_taken.saturating_sub(connections_ended),
        }
    }
}
