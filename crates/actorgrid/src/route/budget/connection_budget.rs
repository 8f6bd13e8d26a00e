//! A budget as one connection sees it, and the bytes that are charged to it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::level::Level;
use super::limits::BudgetLimits;
use super::peer_budget::{PeerBudget, SourceBudget, TicketApplicant};
use super::ticket_queue::Verdict;

/// There is no room for a message.
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
    /// The number of messages that wait for a ticket or have one: their streams use part of the
    /// connection's flow-control window.
    ticketed: AtomicUsize,
    /// The bytes of messages received so far.
    received: AtomicU64,
    /// The bytes of the last message that was rejected for lack of room, until there is room.
    unmet: AtomicUsize,
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
            received: AtomicU64::new(0),
            unmet: AtomicUsize::new(0),
        }))
    }

    /// Charges bytes that have already arrived, or fails at once if there is no room for them.
    pub(in crate::route) fn charge(&self, bytes: usize) -> Result<Charge, BudgetFull> {
        if let Err(full) = self.reserve(bytes) {
            self.0.unmet.store(bytes, Ordering::Relaxed);
            return Err(full);
        }
        Ok(Charge::reserved(self.clone(), bytes))
    }

    /// Creates a charge for no bytes.
    pub(super) fn charge_nothing(&self) -> Charge {
        Charge::reserved(self.clone(), 0)
    }

    /// Like [`charge`](Self::charge), for a small message of which only a part has arrived.
    pub(in crate::route) fn charge_arriving(&self, bytes: usize) -> Result<Charge, BudgetFull> {
        self.reserve(bytes)?;
        Ok(Charge::arriving(self.clone(), bytes))
    }

    /// Waits for the ticket of a large message, in order of arrival. Fails at once if too many
    /// messages are waiting. While it waits, its stream holds `window` bytes that nobody reads.
    ///
    /// Cancel safe: a ticket that nobody waits for is released.
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
        // The queue keeps the sender until it grants the ticket.
        granted.await.map_err(|_| BudgetFull)
    }

    /// Whether queued messages fill the budget, so that any message would be rejected.
    pub(in crate::route) fn is_full_of_queued(&self) -> bool {
        self.levels().any(|level| level.queued() >= level.limit())
    }

    /// Whether little is left: more of the budget is used than tickets alone can use, or there is
    /// still no room for a message like the last one that was rejected.
    pub(in crate::route) fn is_crowded(&self) -> bool {
        let unmet = self.0.unmet.load(Ordering::Relaxed);
        let lacks_room = unmet > 0 && !self.has_room(unmet);
        if unmet > 0 && !lacks_room {
            self.0.unmet.store(0, Ordering::Relaxed);
        }
        lacks_room
            || self
                .levels()
                .any(|level| level.used() > self.crowded_from(level))
    }

    fn has_room(&self, bytes: usize) -> bool {
        let fits =
            |level: &Level| level.used().saturating_add(bytes) <= self.limit_of(level, bytes);
        self.levels().all(fits)
    }

    /// Returns the use above which a level is crowded.
    fn crowded_from(&self, level: &Level) -> usize {
        match std::ptr::eq(level, &self.0.peer.all) {
            true => BudgetLimits::crowded_peer(level.limit()),
            false => BudgetLimits::crowded(self.limit_of(level, 0)),
        }
    }

    /// If queued messages keep one of this size from getting a ticket, returns how many queued
    /// messages have left so far; otherwise `None`. If none leaves, waiting is pointless.
    ///
    /// Arriving messages never count, no matter whose: their room is worth waiting for.
    pub(in crate::route) fn departures_before(&self, bytes: usize) -> Option<u64> {
        let all = &self.0.peer.all;
        let full = self.levels().filter_map(|level| {
            let queued = level.queued().saturating_add(bytes);
            if queued > self.ticket_limit(level, level.limit()) {
                return Some(level.departures());
            }
            // The queued messages of others leave too little for this source.
            let beside_queued = self.limit_beside(level, all.queued() + bytes);
            (queued > self.ticket_limit(level, beside_queued)).then(|| all.departures())
        });
        full.reduce(u64::wrapping_add)
    }

    /// Whether other connections wait for room that this one may hold: at the level of its source
    /// or of the peer, there is no room for a message of this size.
    pub(in crate::route) fn is_contended(&self, bytes: usize) -> bool {
        let ConnectionLevels { number, peer, .. } = &*self.0;
        let is_full =
            |level: &Level| level.used().saturating_add(bytes) > self.ticket_limit_of(level, bytes);
        peer.has_other_waiters(*number) && self.levels().skip(1).any(is_full)
    }

    /// Counts bytes that arrived on this connection.
    pub(in crate::route) fn note_received(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.0.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the number of bytes that have arrived on this connection since it began.
    pub(in crate::route) fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    /// Counts a stream whose message has a ticket or waits for one, until the guard is dropped.
    pub(in crate::route) fn begin_ticketed(&self) -> TicketedStream {
        self.0.ticketed.fetch_add(1, Ordering::Relaxed);
        TicketedStream(self.clone())
    }

    pub(in crate::route) fn ticketed(&self) -> usize {
        self.0.ticketed.load(Ordering::Relaxed)
    }

    /// Returns the bytes that its source holds of the budget, or that the connection holds if it
    /// has no source.
    fn holding(&self) -> usize {
        let source = self.0.source.as_ref().map(SourceBudget::all);
        source.unwrap_or(&self.0.all).used()
    }

    /// Decides about the first message in this connection's line, and reserves its bytes if
    /// granted.
    fn judge(&self, bytes: usize) -> Verdict {
        let reserve = |level: &Level| {
            // Must come before the reservation, so that no later release is missed. A source may
            // also wait for room that others hold.
            level.hold_back();
            if !std::ptr::eq(level, &self.0.all) {
                self.0.peer.all.hold_back();
            }
            level.reserve(bytes, self.ticket_limit_of(level, bytes))
        };
        // No other message is judged meanwhile, so none waits for the room given back here.
        let give_back = |level: &Level| level.give_back(bytes);
        match self.reserve_at(reserve, give_back) {
            Ok(()) => Verdict::Granted,
            Err(level) if std::ptr::eq(level, &self.0.peer.all) => Verdict::AllWait,
            Err(_) => Verdict::LineWaits,
        }
    }

    fn begin_arriving(&self, bytes: usize) {
        self.levels().for_each(|level| level.begin_arriving(bytes));
    }

    /// Marks an arriving message as queued.
    fn end_arriving(&self, bytes: usize) {
        self.levels().for_each(|level| level.end_arriving(bytes));
    }

    fn release(&self, bytes: usize, arriving: bool) {
        let mut somebody_waits = false;
        for level in self.levels() {
            if arriving {
                level.end_arriving(bytes);
            } else {
                level.depart();
            }
            somebody_waits |= level.release(bytes);
        }
        if somebody_waits {
            self.0.peer.room_was_freed();
        }
    }

    /// Returns the limit of a level at the moment, if this many bytes more are used. A source may
    /// use as much as is then free: so a single source gets half of the budget, and no matter how
    /// many sources take all they can, there is room for another.
    fn limit_of(&self, level: &Level, bytes: usize) -> usize {
        self.limit_beside(level, self.0.peer.all.used().saturating_add(bytes))
    }

    /// Returns the limit of a level if this much of the peer's budget is used.
    fn limit_beside(&self, level: &Level, used: usize) -> usize {
        let ConnectionLevels { peer, source, .. } = &*self.0;
        let is_of_source = source
            .as_ref()
            .is_some_and(|source| std::ptr::eq(source.all(), level));
        match is_of_source {
            true => level.limit().min(peer.all.limit().saturating_sub(used)),
            false => level.limit(),
        }
    }

    /// Returns the use of a level up to which tickets are granted.
    fn ticket_limit_of(&self, level: &Level, bytes: usize) -> usize {
        self.ticket_limit(level, self.limit_of(level, bytes))
    }

    /// Returns the use up to which tickets are granted at a level with this limit.
    fn ticket_limit(&self, level: &Level, limit: usize) -> usize {
        match std::ptr::eq(level, &self.0.peer.all) {
            true => BudgetLimits::of_tickets_of_peer(limit),
            false => BudgetLimits::of_tickets(limit),
        }
    }

    fn levels(&self) -> impl Iterator<Item = &Level> {
        let source = self.0.source.as_ref().map(SourceBudget::all);
        [Some(&self.0.all), source, Some(&self.0.peer.all)]
            .into_iter()
            .flatten()
    }

    /// Reserves bytes for something that does not wait.
    fn reserve(&self, bytes: usize) -> Result<(), BudgetFull> {
        let mut somebody_waits = false;
        let reserve = |level: &Level| level.reserve(bytes, self.limit_of(level, bytes));
        let give_back = |level: &Level| somebody_waits |= level.release(bytes);
        let reserved = self.reserve_at(reserve, give_back).map_err(|_| BudgetFull);
        if somebody_waits {
            self.0.peer.room_was_freed();
        }
        match reserved {
            Ok(()) => self.0.peer.note_peak(),
            Err(_) => self.0.peer.note_refusal(),
        }
        reserved
    }

    /// Reserves at every level, or at none: then returns the level that has no room.
    fn reserve_at(
        &self,
        reserve: impl Fn(&Level) -> bool,
        give_back: impl FnMut(&Level),
    ) -> Result<(), &Level> {
        for (place, level) in self.levels().enumerate() {
            if !reserve(level) {
                self.levels().take(place).for_each(give_back);
                return Err(level);
            }
        }
        Ok(())
    }

    /// Reserves room for the bytes that a waiting stream may hold.
    fn park(&self, window: usize) -> Option<ParkedBytes<'_>> {
        let ConnectionLevels { peer, source, .. } = &*self.0;
        let own = source.as_ref().map(SourceBudget::waiting);
        if let Some(own) = own
            && !own.reserve(window, own.limit())
        {
            return None;
        }
        if !peer.waiting.reserve(window, peer.waiting.limit()) {
            let waiting = own.map_or(usize::MAX, Level::used);
            if !peer.displace_for(waiting) {
                if let Some(own) = own {
                    let _ = own.release(window);
                }
                return None;
            }
            // The displaced message frees as much as soon as it notices.
            let _ = peer.waiting.reserve(window, usize::MAX);
        }
        Some(ParkedBytes {
            connection: self,
            window,
        })
    }
}

/// Bytes charged to a budget. Dropping the charge releases them.
#[derive(Debug)]
pub(crate) struct Charge {
    connection: ConnectionBudget,
    bytes: usize,
    arriving: bool,
}

impl Charge {
    /// Creates a charge for bytes that are already reserved.
    fn reserved(connection: ConnectionBudget, bytes: usize) -> Self {
        Self {
            connection,
            bytes,
            arriving: false,
        }
    }

    /// Creates a charge for the reserved bytes of a message that is still arriving.
    fn arriving(connection: ConnectionBudget, bytes: usize) -> Self {
        connection.begin_arriving(bytes);
        Self {
            connection,
            bytes,
            arriving: true,
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes that there was no room for something of this size: see
    /// [`is_crowded`](ConnectionBudget::is_crowded).
    pub(super) fn note_unmet(&self, bytes: usize) {
        self.connection.0.unmet.store(bytes, Ordering::Relaxed);
    }

    /// Marks the message as complete: from now on its bytes count as queued.
    pub(in crate::route) fn arrived(&mut self) {
        if std::mem::take(&mut self.arriving) {
            self.connection.end_arriving(self.bytes);
        }
    }

    /// Changes the charge to this many bytes: releases the rest, or charges the difference.
    pub(in crate::route) fn resize(&mut self, bytes: usize) -> Result<(), BudgetFull> {
        match self.bytes.checked_sub(bytes) {
            Some(rest) => {
                self.bytes = bytes;
                self.connection.release(rest, self.arriving);
                Ok(())
            }
            None => self.extend(bytes - self.bytes),
        }
    }

    /// Charges more bytes of the same message.
    pub(in crate::route) fn extend(&mut self, bytes: usize) -> Result<(), BudgetFull> {
        self.connection.reserve(bytes)?;
        if self.arriving {
            self.connection.begin_arriving(bytes);
        }
        self.bytes += bytes;
        Ok(())
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

    fn holding(&self) -> usize {
        self.connection.holding()
    }

    fn waiting(&self) -> usize {
        let source = self.connection.0.source.as_ref();
        source.map_or(0, |source| source.waiting().used())
    }

    fn grant(self: Box<Self>) {
        let ticket = Charge::arriving(self.connection, self.bytes);
        // Dropped here, and so released, if nobody waits for it any more.
        let _ = self.ticket.send(ticket);
    }
}

/// A place in a connection's line. Dropping it leaves the line.
struct LinePlace<'a> {
    connection: &'a ConnectionBudget,
    arrival: u64,
}

impl Drop for LinePlace<'_> {
    fn drop(&mut self) {
        let ConnectionLevels { peer, number, .. } = &*self.connection.0;
        peer.leave_queue(*number, self.arrival);
    }
}

/// The bytes that are reserved for a waiting stream.
struct ParkedBytes<'a> {
    connection: &'a ConnectionBudget,
    window: usize,
}

impl Drop for ParkedBytes<'_> {
    fn drop(&mut self) {
        let ConnectionLevels { peer, source, .. } = &*self.connection.0;
        let _ = peer.waiting.release(self.window);
        if let Some(source) = source {
            let _ = source.waiting().release(self.window);
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
