//! A budget as one connection sees it, and the bytes that are charged to it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::level::Level;
use super::limits::BudgetLimits;
use super::peer_budget::{PeerBudget, SourceBudget, TicketApplicant};
use super::ticket_queue::Verdict;

/// There is no room for this message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::route) struct BudgetFull;

/// The share of one connection in the budget of its peer. Cheap to clone.
#[derive(Clone)]
pub(in crate::route) struct ConnectionBudget(Arc<ConnectionLevels>);

struct ConnectionLevels {
    number: u64,
    peer: Arc<PeerBudget>,
    source: Option<SourceBudget>,
    all: Level,
    /// Messages that wait for a ticket or have one: their streams take part of the connection's
    /// flow-control window.
    ticketed: AtomicUsize,
}

impl fmt::Debug for ConnectionBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectionBudget")
            .field(&self.0.all)
            .finish()
    }
}

impl ConnectionBudget {
    pub(super) fn new(peer: Arc<PeerBudget>, source: Option<SourceBudget>) -> Self {
        Self(Arc::new(ConnectionLevels {
            number: peer.next_connection(),
            all: Level::new(peer.limits.per_connection),
            peer,
            source,
            ticketed: AtomicUsize::new(0),
        }))
    }

    /// Charges bytes that are there, or says at once that there is no room for them.
    pub(in crate::route) fn charge(&self, bytes: usize) -> Result<Charge, BudgetFull> {
        self.reserve(bytes, |limit| limit).map_err(|_| BudgetFull)?;
        self.0.peer.note_peak();
        Ok(Charge::reserved(self.clone(), bytes))
    }

    /// As [`charge`](Self::charge), for a small message of which a part is there.
    pub(in crate::route) fn charge_arriving(&self, bytes: usize) -> Result<Charge, BudgetFull> {
        self.reserve(bytes, |limit| limit).map_err(|_| BudgetFull)?;
        self.0.peer.note_peak();
        Ok(Charge::arriving(self.clone(), bytes))
    }

    /// Waits for the ticket of a large message, in order of arrival. Fails at once if too many wait
    /// already. While it waits, its stream holds `window` bytes that nobody reads.
    ///
    /// Cancel safe: a ticket that nobody waits for is free again.
    pub(in crate::route) async fn ticket(
        &self,
        bytes: usize,
        window: usize,
    ) -> Result<Charge, BudgetFull> {
        let peer = &self.0.peer;
        if !peer.has_waiters() && self.judge(bytes) == Verdict::Granted {
            peer.note_peak();
            return Ok(Charge::arriving(self.clone(), bytes));
        }
        let _parked = self.park(window).ok_or(BudgetFull)?;
        let (ticket, granted) = oneshot::channel();
        let applicant = Box::new(TicketWaiter {
            connection: self.clone(),
            bytes,
            ticket,
        });
        let arrival = peer.wait(self.0.number, applicant);
        let _place = LinePlace {
            connection: self,
            arrival,
        };
        // The sender is in the queue until it grants the ticket.
        granted.await.map_err(|_| BudgetFull)
    }

    /// Whether queued messages fill the budget, so that any message would be rejected.
    pub(in crate::route) fn is_full_of_queued(&self) -> bool {
        self.levels().any(|level| level.queued() >= level.limit())
    }

    /// Whether queued messages keep one of this size from getting a ticket: then how many have left
    /// so far. If none leaves, waiting does not help.
    pub(in crate::route) fn departures_before(&self, bytes: usize) -> Option<u64> {
        let lacks_room = |level: &&Level| {
            level.queued().saturating_add(bytes) > BudgetLimits::of_tickets(level.limit())
        };
        let full = self.levels().filter(lacks_room);
        full.map(Level::departures).reduce(u64::wrapping_add)
    }

    /// The bytes that this connection has of the budget.
    pub(in crate::route) fn used(&self) -> usize {
        self.0.all.used()
    }

    /// Whether this connection may have so many bytes and leave a quarter of its share.
    pub(in crate::route) fn allows(&self, bytes: usize) -> bool {
        bytes <= BudgetLimits::of_tickets(self.0.all.limit())
    }

    /// Streams whose messages have tickets or wait for them, from now until the guard is dropped.
    pub(in crate::route) fn begin_ticketed(&self) -> TicketedStream {
        self.0.ticketed.fetch_add(1, Ordering::Relaxed);
        TicketedStream(self.clone())
    }

    pub(in crate::route) fn ticketed(&self) -> usize {
        self.0.ticketed.load(Ordering::Relaxed)
    }

    /// Decides about the first of this connection's line, and reserves its bytes if granted.
    fn judge(&self, bytes: usize) -> Verdict {
        match self.reserve(bytes, BudgetLimits::of_tickets) {
            Ok(()) => Verdict::Granted,
            Err(LevelFull::OfLine) => Verdict::LineWaits,
            Err(LevelFull::OfPeer) => Verdict::AllWait,
        }
    }

    fn begin_arriving(&self, bytes: usize) {
        self.levels().for_each(|level| level.begin_arriving(bytes));
    }

    /// An arriving message is queued now.
    fn end_arriving(&self, bytes: usize) {
        self.levels().for_each(|level| level.end_arriving(bytes));
    }

    fn release(&self, bytes: usize, arriving: bool) {
        for level in self.levels() {
            if arriving {
                level.end_arriving(bytes);
            } else {
                level.depart();
            }
            level.release(bytes);
        }
        self.0.peer.changed();
    }

    fn levels(&self) -> impl Iterator<Item = &Level> {
        let source = self.0.source.as_ref().map(SourceBudget::all);
        [Some(&self.0.all), source, Some(&self.0.peer.all)]
            .into_iter()
            .flatten()
    }

    /// Reserves at every level or at none.
    fn reserve(&self, bytes: usize, share: impl Fn(usize) -> usize) -> Result<(), LevelFull> {
        let ConnectionLevels {
            peer, source, all, ..
        } = &*self.0;
        let reserve = |level: &Level| level.reserve(bytes, share(level.limit()));
        if !reserve(all) {
            return Err(LevelFull::OfLine);
        }
        if let Some(source) = source
            && !reserve(source.all())
        {
            all.release(bytes);
            return Err(LevelFull::OfLine);
        }
        if !reserve(&peer.all) {
            all.release(bytes);
            if let Some(source) = source {
                source.all().release(bytes);
            }
            return Err(LevelFull::OfPeer);
        }
        Ok(())
    }

    /// Takes room for the bytes that a waiting stream may hold.
    fn park(&self, window: usize) -> Option<ParkedBytes<'_>> {
        let ConnectionLevels { peer, source, .. } = &*self.0;
        if !peer.waiting.reserve(window, peer.waiting.limit()) {
            return None;
        }
        if let Some(source) = source
            && !source.waiting().reserve(window, source.waiting().limit())
        {
            peer.waiting.release(window);
            return None;
        }
        Some(ParkedBytes {
            connection: self,
            window,
        })
    }
}

/// Bytes of a budget that somebody holds. Dropped, they are free again.
#[derive(Debug)]
pub(crate) struct Charge {
    connection: ConnectionBudget,
    bytes: usize,
    arriving: bool,
}

impl Charge {
    /// Bytes that are reserved already.
    fn reserved(connection: ConnectionBudget, bytes: usize) -> Self {
        Self {
            connection,
            bytes,
            arriving: false,
        }
    }

    /// Reserved bytes of a message that is still arriving.
    fn arriving(connection: ConnectionBudget, bytes: usize) -> Self {
        connection.begin_arriving(bytes);
        Self {
            connection,
            bytes,
            arriving: true,
        }
    }

    /// The message is there: from now on its bytes count as queued.
    pub(in crate::route) fn arrived(&mut self) {
        if std::mem::take(&mut self.arriving) {
            self.connection.end_arriving(self.bytes);
        }
    }

    /// Takes some of the bytes off into a charge of their own.
    pub(in crate::route) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            connection: self.connection.clone(),
            bytes,
            arriving: self.arriving,
        }
    }

    #[cfg(test)]
    pub(in crate::route) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.connection.release(self.bytes, self.arriving);
    }
}

/// A message that waits for a ticket for its bytes.
struct TicketWaiter {
    connection: ConnectionBudget,
    bytes: usize,
    ticket: oneshot::Sender<Charge>,
}

impl TicketApplicant for TicketWaiter {
    fn judge(&self) -> Verdict {
        self.connection.judge(self.bytes)
    }

    fn grant(self: Box<Self>) {
        let ticket = Charge::arriving(self.connection, self.bytes);
        // Dropped here if nobody waits for it any more.
        let _ = self.ticket.send(ticket);
    }
}

/// The level at which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LevelFull {
    /// That of the connection or the source.
    OfLine,
    OfPeer,
}

/// A place in the line of a connection. Dropped, it is given up.
struct LinePlace<'a> {
    connection: &'a ConnectionBudget,
    arrival: u64,
}

impl Drop for LinePlace<'_> {
    fn drop(&mut self) {
        let ConnectionLevels { peer, number, .. } = &*self.connection.0;
        peer.give_up(*number, self.arrival);
    }
}

/// The room of a waiting stream.
struct ParkedBytes<'a> {
    connection: &'a ConnectionBudget,
    window: usize,
}

impl Drop for ParkedBytes<'_> {
    fn drop(&mut self) {
        let ConnectionLevels { peer, source, .. } = &*self.connection.0;
        peer.waiting.release(self.window);
        if let Some(source) = source {
            source.waiting().release(self.window);
        }
    }
}

/// Counts a stream whose message has a ticket or waits for one.
pub(in crate::route) struct TicketedStream(ConnectionBudget);

impl Drop for TicketedStream {
    fn drop(&mut self) {
        self.0.0.ticketed.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
