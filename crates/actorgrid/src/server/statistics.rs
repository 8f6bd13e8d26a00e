//! The statistics of a server, as users read them.

use std::time::Duration;

/// The counters of a [`Server`](crate::Server) since it was bound, over all its sessions: see
/// [`ServerHandle::statistics`](crate::ServerHandle::statistics).
///
/// All numbers only grow, but [`actors_running`](Self::actors_running),
/// [`starts_under_way`](Self::starts_under_way), [`connections_open`](Self::connections_open) and
/// the bytes that are held at the moment. They are read one after the other, so
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
    /// Requests that were answered with an error because they could not be read, or were too large.
    pub refused_invalid: u64,
    /// Requests whose deadline passed while they were queued, so that they were not handed out.
    pub requests_expired: u64,
    /// Requests whose requesters stopped waiting while they were queued, so that they were not
    /// handed out.
    pub requests_abandoned: u64,
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
    /// Constructors that did not succeed: failed, panicked, timed out, or were stopped.
    pub starts_failed: u64,
    /// Starts that were refused because too many were under way, in all or of the same name. They
    /// are among [`starts_refused`](Self::starts_refused).
    pub starts_busy: u64,
    /// Constructors that did not end in their time and were dropped. They are among
    /// [`starts_failed`](Self::starts_failed).
    pub constructors_timed_out: u64,
    /// Starts that are under way now, until their constructors have ended or their names are free
    /// again: also those that nobody waits for any more.
    pub starts_under_way: u64,
    /// Panics of constructors and actors, and of the functions that give mailboxes their
    /// capacity. (Those of tasks that an actor has spawned are logged only.)
    pub actor_panics: u64,
    /// Sessions: the first one, and one for each time that the peer has joined again.
    pub sessions: u64,
    /// Sessions that ended fenced.
    pub sessions_fenced: u64,
    /// The longest time for which the runtime that the server was bound on ran none of its tasks,
    /// as code in tasks blocked its threads. Only stalls of a second and more count; each is logged
    /// as well. One that goes on is in here from its first second, and with its length at its end.
    /// [`ServerBuilder::max_stall`](crate::ServerBuilder::max_stall) is the limit on it.
    pub longest_runtime_stall: Duration,
    /// Connections that were taken from other processes.
    pub connections_taken: u64,
    /// Connections from other processes that are open now.
    pub connections_open: u64,
    /// Connections that were closed at once, as there was no room for them and none to close for
    /// them.
    pub connections_refused: u64,
    /// Connections, silent or idle, that were closed to make room for others.
    pub connections_evicted: u64,
    /// Connections that were closed as their clients had gone silent, or did not read.
    pub connections_dead: u64,
    /// Connections that were closed as their clients went on sending control frames (such as resets
    /// of requests) faster than they are read.
    pub connections_over_pace: u64,
    /// Requests that were given up as their messages came too slowly.
    pub requests_slow: u64,
    /// Requests that were rejected as there was no room for their bytes; they are among the
    /// [busy](Self::refused_busy) ones.
    pub requests_without_room: u64,
    /// Replies that were lost as there was no room for them. The requests were executed, and their
    /// requesters were told so.
    pub replies_without_room: u64,
    /// Replies that their requesters did not take in time.
    pub replies_not_taken: u64,
    /// Bytes of requests from other processes that are queued now.
    pub received_bytes_queued: u64,
    /// Bytes reserved now for requests that are arriving from other processes.
    pub received_bytes_arriving: u64,
    /// The most bytes that requests from other processes have taken at once.
    pub received_bytes_peak: u64,
    /// Bytes of replies to other processes that are not sent yet, and room for the replies to large
    /// requests that are under way.
    pub reply_bytes: u64,
    /// The most bytes that replies to other processes have taken at once.
    pub reply_bytes_peak: u64,
}
