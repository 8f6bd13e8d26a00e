//! Counts the actors and the sessions of a server.

use std::sync::Arc;

use super::statistics::ServerStatistics;
use crate::counter::Counter;
use crate::mailbox::InboxCounters;
use crate::route::serving::{HeldBytes, ServingGauges};
use crate::session::LongestStall;

/// The counters of a server, except those of its mailboxes and connections.
#[derive(Debug, Default)]
pub(super) struct ServerCounters {
    pub(super) actors_started: Counter,
    pub(super) actors_ended: Counter,
    pub(super) starts_refused: Counter,
    pub(super) starts_failed: Counter,
    pub(super) starts_busy: Counter,
    pub(super) constructors_timed_out: Counter,
    pub(super) actor_panics: Counter,
    pub(super) sessions: Counter,
    pub(super) sessions_fenced: Counter,
    /// Recorded by the keepers of the sessions.
    pub(super) longest_stall: Arc<LongestStall>,
}

impl ServerCounters {
    /// Returns all counters of the server, those of its mailboxes and connections included.
    pub(super) fn read(
        &self,
        inboxes: &InboxCounters,
        wire: &ServingGauges,
        starts_under_way: usize,
    ) -> ServerStatistics {
        // Ends are read before starts, so that ends never exceed starts.
        let actors_ended = self.actors_ended.get();
        let actors_started = self.actors_started.get();
        let connections = &wire.counters;
        let connections_ended = connections.ended.get();
        let connections_taken = connections.taken.get();
        let HeldBytes {
            queued,
            arriving,
            received_peak,
            replies,
            replies_peak,
            replies_lost,
        } = wire.held();
        ServerStatistics {
            requests_admitted: inboxes.admitted.get(),
            refused_not_held: inboxes.not_held.get(),
            refused_busy: inboxes.busy.get(),
            refused_closed: inboxes.closed.get(),
            refused_unknown_message: inboxes.unknown_message.get(),
            refused_invalid: inboxes.invalid.get(),
            requests_expired: inboxes.expired.get(),
            requests_abandoned: inboxes.abandoned.get(),
            requests_failed: inboxes.failed.get(),
            requests_unanswered: inboxes.unanswered.get(),
            actors_running: actors_started.saturating_sub(actors_ended),
            actors_started,
            actors_ended,
            starts_refused: self.starts_refused.get(),
            starts_failed: self.starts_failed.get(),
            starts_busy: self.starts_busy.get(),
            constructors_timed_out: self.constructors_timed_out.get(),
            starts_under_way: starts_under_way as u64,
            actor_panics: self.actor_panics.get(),
            sessions: self.sessions.get(),
            sessions_fenced: self.sessions_fenced.get(),
            longest_runtime_stall: self.longest_stall.get(),
            connections_taken,
            connections_open: connections_taken.saturating_sub(connections_ended),
            connections_refused: connections.refused.get(),
            connections_evicted: connections.evicted.get(),
            connections_dead: connections.dead.get(),
            connections_over_pace: connections.over_pace.get(),
            requests_slow: connections.slow.get(),
            requests_without_room: connections.no_room.get(),
            replies_without_room: replies_lost,
            replies_not_taken: connections.replies_not_taken.get(),
            received_bytes_queued: queued,
            received_bytes_arriving: arriving,
            received_bytes_peak: received_peak,
            reply_bytes: replies,
            reply_bytes_peak: replies_peak,
        }
    }
}
