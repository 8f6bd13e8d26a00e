//! The levels of a budget that many connections share, and the queue for tickets.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::level::Level;
use super::limits::BudgetLimits;
use super::ticket_queue::{TicketQueue, Verdict};

/// A message that waits for a ticket.
pub(super) trait TicketApplicant: Send {
    /// Decides whether it gets its ticket; if so, reserves its bytes.
    fn judge(&self) -> Verdict;

    /// Returns the bytes that its source holds: the source that holds least goes first.
    fn holding(&self) -> usize;

    /// Returns the parked bytes of its source: the source with most of them makes room for others.
    /// A connection without a source has none, and is not displaced.
    fn waiting(&self) -> usize;

    /// Sends it the ticket for the reserved bytes.
    fn grant(self: Box<Self>);
}

/// The budget of a peer, as all its connections share it.
pub(super) struct PeerBudget {
    pub(super) limits: BudgetLimits,
    pub(super) all: Level,
    /// The bytes parked in streams that wait for a ticket.
    pub(super) waiting: Level,
    peak: AtomicUsize,
    connections: AtomicU64,
    refusals: AtomicU64,
    /// Whether any message waits; without one, a release need not lock.
    has_waiters: AtomicBool,
    tickets: Mutex<Tickets>,
}

/// The waiting messages, by the numbers of their connections.
type Tickets = TicketQueue<u64, Box<dyn TicketApplicant>>;

impl PeerBudget {
    pub(super) fn new(limits: BudgetLimits) -> Self {
        Self {
            limits,
            all: Level::new(limits.total),
            waiting: Level::new(limits.waiting()),
            peak: AtomicUsize::new(0),
            connections: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            has_waiters: AtomicBool::new(false),
            tickets: Mutex::new(TicketQueue::new()),
        }
    }

    /// Returns the number of a new connection.
    pub(super) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Puts a message in line for its ticket. Returns the number that identifies it.
    pub(super) fn wait(&self, connection: u64, applicant: Box<dyn TicketApplicant>) -> u64 {
        let arrival = {
            let mut tickets = self.tickets();
            let arrival = tickets.push(connection, applicant);
            self.has_waiters.store(true, Ordering::SeqCst);
            arrival
        };
        // Room may have been freed before the flag was set.
        self.decide();
        arrival
    }

    /// Displaces the last message of the source with the most parked bytes, in favour of one whose
    /// source has this many parked. Returns false if no source has more.
    pub(super) fn displace_for(&self, waiting: usize) -> bool {
        let displaced = {
            let mut tickets = self.tickets();
            let displaced = tickets.displace(|applicant| applicant.waiting(), waiting);
            self.has_waiters
                .store(!tickets.is_empty(), Ordering::SeqCst);
            displaced
        };
        // Dropped without the lock: the drop notifies the displaced message.
        displaced.is_some()
    }

    pub(super) fn leave_queue(&self, connection: u64, arrival: u64) {
        let mut tickets = self.tickets();
        if tickets.remove(connection, arrival).is_none() {
            return;
        }
        self.has_waiters
            .store(!tickets.is_empty(), Ordering::SeqCst);
        drop(tickets);
        // The message may have held others back.
        self.decide();
    }

    /// Whether any message waits for a ticket: then none may bypass the queue.
    pub(super) fn has_waiters(&self) -> bool {
        self.has_waiters.load(Ordering::SeqCst)
    }

    /// Whether a connection other than this one waits for a ticket.
    pub(super) fn has_other_waiters(&self, connection: u64) -> bool {
        self.has_waiters() && self.tickets().has_others(connection)
    }

    /// Grants tickets after room was freed for which messages may be waiting.
    pub(super) fn room_was_freed(&self) {
        if self.has_waiters() {
            self.decide();
        }
    }

    pub(super) fn note_peak(&self) {
        let used = self.all.used();
        // Read first: most of the time there is nothing to write.
        if used > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(used, Ordering::Relaxed);
        }
    }

    /// Counts a lack of room for something that does not wait.
    pub(super) fn note_refusal(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Returns the largest number of bytes ever used at once.
    pub(super) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    fn decide(&self) {
        let granted = {
            let mut tickets = self.tickets();
            let granted = tickets.decide(
                |applicant| applicant.holding(),
                |applicant| applicant.judge(),
            );
            self.has_waiters
                .store(!tickets.is_empty(), Ordering::SeqCst);
            granted
        };
        self.note_peak();
        // Without the lock: a ticket that nobody waits for any more is released here.
        for applicant in granted {
            applicant.grant();
        }
    }

    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The share of one source address. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::route) struct SourceBudget(Arc<SourceLevels>);

#[derive(Debug)]
struct SourceLevels {
    all: Level,
    waiting: Level,
}

impl SourceBudget {
    pub(super) fn new(limits: BudgetLimits) -> Self {
        Self(Arc::new(SourceLevels {
            all: Level::new(limits.per_source()),
            waiting: Level::new(limits.waiting() / 2),
        }))
    }

    pub(super) fn all(&self) -> &Level {
        &self.0.all
    }

    pub(super) fn waiting(&self) -> &Level {
        &self.0.waiting
    }
}
