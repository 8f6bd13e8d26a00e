//! The counters of a client.

use super::statistics::ClientStatistics;
use crate::counter::Counter;
use crate::error::RequestErrorKind;

/// The counters of a client, except those of its pool and its request ids.
#[derive(Debug, Default)]
pub(super) struct ClientCounters {
    pub(super) repeats: Counter,
    pub(super) local_tries: Counter,
    pub(super) remote_tries: Counter,
    pub(super) lookups: Counter,
    pub(super) locations_forgotten: Counter,
    pub(super) deadlines_exceeded: Counter,
    unknown_names: Counter,
    not_held: Counter,
    mailbox_closed: Counter,
    busy: Counter,
    unreachable: Counter,
    connections_lost: Counter,
    registry_failures: Counter,
}

impl ClientCounters {
    /// Counts a failed try.
    pub(super) fn failed(&self, kind: RequestErrorKind) {
        let counter = match kind {
            RequestErrorKind::UnknownName => &self.unknown_names,
            RequestErrorKind::NotHeld => &self.not_held,
            RequestErrorKind::MailboxClosed => &self.mailbox_closed,
            RequestErrorKind::Busy => &self.busy,
            RequestErrorKind::Unreachable => &self.unreachable,
            RequestErrorKind::ConnectionLost => &self.connections_lost,
            RequestErrorKind::Registry => &self.registry_failures,
            RequestErrorKind::DeadlineExceeded => &self.deadlines_exceeded,
            // Answers, and mistakes of the caller.
            _ => return,
        };
        counter.increment();
    }

    /// Returns the counts so far. The counts of the pool and of the ids are left at zero.
    pub(super) fn read(&self) -> ClientStatistics {
        ClientStatistics {
            repeats: self.repeats.get(),
            local_tries: self.local_tries.get(),
            remote_tries: self.remote_tries.get(),
            lookups: self.lookups.get(),
            locations_forgotten: self.locations_forgotten.get(),
            unknown_names: self.unknown_names.get(),
            not_held: self.not_held.get(),
            mailbox_closed: self.mailbox_closed.get(),
            busy: self.busy.get(),
            unreachable: self.unreachable.get(),
            connections_lost: self.connections_lost.get(),
            registry_failures: self.registry_failures.get(),
            deadlines_exceeded: self.deadlines_exceeded.get(),
            ..ClientStatistics::default()
        }
    }
}
