//! The statistics of a server, as users read them.

use std::time::Duration;

/// The counters of a [`Server`](crate::Server) since it was bound, over all its sessions. Read them
/// with [`ServerHandle::statistics`](crate::ServerHandle::statistics).
///
/// All values only grow, except [`actors_running`](Self::actors_running),
/// [`starts_under_way`](Self::starts_under_way), [`connections_open`](Self::connections_open) and
/// the bytes that are currently held. The values are read one after the other, so an event that
/// happens meanwhile can show in one of them and not yet in another. Requests are those to the
/// mailboxes of the peer, including the peer's own mailbox, whether they come from the same process
/// or from another; a repeat counts as another request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatistics {
    /// Requests that were queued in a mailbox. Unless one of the failures below was counted for it,
    /// such a request was answered with a reply, is waiting for its answer, or no longer has a
    /// requester.
    pub requests_admitted: u64,
    /// Requests that were rejected because no mailbox of the peer holds the name, or because the
    /// mailbox has a token other than the one that the request expects.
    pub refused_not_held: u64,
    /// Requests that were rejected because the mailbox was full, or a limit of the peer was
    /// reached.
    pub refused_busy: u64,
    /// Requests that were rejected because the mailbox had closed, or because the peer was draining
    /// or fenced; this includes requests that were already queued.
    pub refused_closed: u64,
    /// Requests that were rejected because the mailbox does not take messages of their type.
    pub refused_unknown_message: u64,
    /// Requests that were answered with an error because they could not be decoded, or were too
    /// large.
    pub refused_invalid: u64,
    /// Requests whose deadlines passed while they were queued. They were not handed out.
    pub requests_expired: u64,
    /// Requests whose requesters stopped waiting while they were queued. They were not handed out.
    pub requests_abandoned: u64,
    /// Requests that were answered with an error, by an actor or by the peer itself (for example, a
    /// start that failed).
    pub requests_failed: u64,
    /// Requests that were dropped without an answer after they were handed out.
    pub requests_unanswered: u64,
    /// Actors that are running now: [started](Self::actors_started) and not
    /// [ended](Self::actors_ended).
    pub actors_running: u64,
    /// Actors whose constructors succeeded.
    pub actors_started: u64,
    /// Actors that had started and have ended, for whatever reason.
    pub actors_ended: u64,
    /// Starts that were rejected or failed before the actor's constructor ran (for example, because
    /// the name was taken).
    pub starts_refused: u64,
    /// Constructors that did not succeed: they failed, panicked, timed out, or were stopped.
    pub starts_failed: u64,
    /// Starts that were rejected because too many were under way, in total or for the same name.
    /// They are included in [`starts_refused`](Self::starts_refused).
    pub starts_busy: u64,
    /// Constructors that did not end in time and were dropped. They are included in
    /// [`starts_failed`](Self::starts_failed).
    pub constructors_timed_out: u64,
    /// Starts that are under way now. A start counts until its actor is constructed or its name is
    /// free again, even if nobody is waiting for it any more.
    pub starts_under_way: u64,
    /// Panics of constructors and actors, and of the functions that return a mailbox's capacity.
    /// (Panics of tasks that an actor has spawned are only logged.)
    pub actor_panics: u64,
    /// Sessions: the first one, and one for each rejoin of the peer.
    pub sessions: u64,
    /// Sessions that ended fenced.
    pub sessions_fenced: u64,
    /// The longest time for which the runtime on which the server was bound ran none of its tasks,
    /// because code in tasks blocked its threads. Only stalls of one second or more count; each is
    /// also logged. A stall in progress is included from its first second on, and with its full
    /// length once it ends. [`ServerBuilder::max_stall`](crate::ServerBuilder::max_stall) limits
    /// it.
    pub longest_runtime_stall: Duration,
    /// Connections from other processes that were accepted.
    pub connections_taken: u64,
    /// Connections from other processes that are open now.
    pub connections_open: u64,
    /// Connections that were closed at once because there was no room for them, and because no
    /// other connection could be closed to make room.
    pub connections_refused: u64,
    /// Connections, silent or idle, that were closed to make room for others.
    pub connections_evicted: u64,
    /// Connections that were closed because their clients had gone silent, or did not read.
    pub connections_dead: u64,
    /// Connections that were closed because their clients sent control frames (such as resets of
    /// requests) too fast for too long.
    pub connections_over_pace: u64,
    /// Requests that were abandoned because their messages arrived too slowly.
    pub requests_slow: u64,
    /// Requests that were rejected because there was no room for their bytes. They are included in
    /// the [busy](Self::refused_busy) ones.
    pub requests_without_room: u64,
    /// Replies that were lost because there was no room for them. The requests were executed, and
    /// their requesters get an error that reports this.
    pub replies_without_room: u64,
    /// Replies that their requesters did not read in time.
    pub replies_not_taken: u64,
    /// Bytes of requests from other processes that are queued now.
    pub received_bytes_queued: u64,
    /// Bytes reserved now for requests that are arriving from other processes.
    pub received_bytes_arriving: u64,
    /// The most bytes that requests from other processes have taken at once.
    pub received_bytes_peak: u64,
    /// Bytes of replies to other processes that have not been sent yet, and room reserved for the
    /// replies to large requests that are under way.
    pub reply_bytes: u64,
    /// The most bytes that replies to other processes have taken at once.
    pub reply_bytes_peak: u64,
}
