//! Messages of more than 65 KiB that arrive in chunks: which ones wait for a ticket, and which ones
//! have one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::environment::Deadline;
use crate::route::budget::Charge;
use crate::route::link::{ChunkFrame, FrameKind, LinkError};
use crate::route::meta::Meta;
use crate::route::request_source::{RequestKey, SourceRequest};

/// A client with a ticket must send this much of the message, or the rest of it, in each
/// [`PROGRESS_TIME`].
const PROGRESS_BYTES: usize = 16 * 1024;
const PROGRESS_TIME: Duration = Duration::from_secs(5);
/// The messages of a link must together bring this much in that time while other connections wait
/// for the room that they hold, as on a gRPC connection.
const CONTENDED_PROGRESS_BYTES: u64 = 1024 * 1024;
/// The room made ahead for a message: its announced length is only a claim.
const FIRST_CAPACITY_BYTES: usize = 64 * 1024;

/// A request whose message follows in chunks.
pub(super) struct ArrivingRequest {
    pub(super) key: RequestKey,
    pub(super) receiver: Arc<str>,
    pub(super) message_type: Arc<str>,
    pub(super) meta: Meta,
    pub(super) reply_to: SourceRequest,
    /// The length of its message.
    pub(super) total: usize,
}

/// A request whose message has arrived.
pub(super) struct ArrivedRequest {
    pub(super) request: ArrivingRequest,
    pub(super) bytes: Bytes,
    pub(super) ticket: Ticket,
}

/// Room for a message, and for a reply as large.
pub(super) struct Ticket {
    pub(super) message: Charge,
    pub(super) reply: Charge,
}

/// The part of a message that a chunk has brought.
pub(super) enum TakenChunk {
    /// It was on its way when its request was answered.
    Discarded,
    Part,
    Last(Box<ArrivedRequest>),
}

/// The requests of a link whose messages have not come, by their numbers; tickets are given in this
/// order. There may be thousands, and a chunk can be as small as a byte: each is found at once.
#[derive(Default)]
pub(super) struct ArrivingMessages {
    waiting: BTreeMap<u64, ArrivingRequest>,
    receiving: BTreeMap<u64, Receiving>,
}

struct Receiving {
    request: ArrivingRequest,
    bytes: BytesMut,
    ticket: Ticket,
    /// The time by which it must have made progress.
    patience: Deadline,
    /// The bytes that had come when this time began: of the message, and on the link.
    before: usize,
    received_before: u64,
}

impl ArrivingMessages {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.receiving.is_empty()
    }

    pub(super) fn push(&mut self, request: ArrivingRequest) {
        self.waiting.insert(request.key.sequence, request);
    }

    /// Returns the request that gets the next ticket.
    pub(super) fn applicant(&self) -> Option<&ArrivingRequest> {
        self.waiting.first_key_value().map(|(_, request)| request)
    }

    /// Removes the applicant, which has its ticket or gets none.
    pub(super) fn take_applicant(&mut self) -> Option<ArrivingRequest> {
        self.waiting.pop_first().map(|(_, request)| request)
    }

    /// A request has its ticket. `received` is what has come of all messages of the link.
    pub(super) fn receive(
        &mut self,
        request: ArrivingRequest,
        ticket: Ticket,
        now: Deadline,
        received: u64,
    ) {
        let bytes = BytesMut::with_capacity(request.total.min(FIRST_CAPACITY_BYTES));
        let sequence = request.key.sequence;
        let receiving = Receiving {
            request,
            bytes,
            ticket,
            patience: now.later(PROGRESS_TIME),
            before: 0,
            received_before: received,
        };
        self.receiving.insert(sequence, receiving);
    }

    /// A chunk has come.
    ///
    /// # Errors
    ///
    /// It came without a ticket, or does not fit to what was announced.
    pub(super) fn chunk(&mut self, chunk: ChunkFrame<'_>) -> Result<TakenChunk, LinkError> {
        let sequence = chunk.sequence;
        let Some(receiving) = self.receiving.get_mut(&sequence) else {
            return match self.waiting.contains_key(&sequence) {
                true => Err(LinkError::CreditExceeded),
                false => Ok(TakenChunk::Discarded),
            };
        };
        let total = receiving.request.total;
        let length = receiving.bytes.len() + chunk.bytes.len();
        if length > total || (length == total) != chunk.is_last {
            return Err(LinkError::Content(FrameKind::Chunk));
        }
        if receiving.bytes.capacity() < length {
            // Grow by doubling, but not beyond the message.
            let grown = (2 * receiving.bytes.len()).clamp(length, total);
            receiving.bytes.reserve(grown - receiving.bytes.len());
        }
        receiving.bytes.extend_from_slice(chunk.bytes);
        let arrived = chunk.is_last.then(|| self.receiving.remove(&sequence));
        let Some(arrived) = arrived.flatten() else {
            return Ok(TakenChunk::Part);
        };
        let Receiving {
            request,
            bytes,
            mut ticket,
            ..
        } = arrived;
        ticket.message.arrived();
        Ok(TakenChunk::Last(Box::new(ArrivedRequest {
            request,
            bytes: bytes.freeze(),
            ticket,
        })))
    }

    /// Removes a request that is answered before its message has arrived.
    pub(super) fn remove(&mut self, sequence: u64) -> Option<ArrivingRequest> {
        match self.receiving.remove(&sequence) {
            Some(receiving) => Some(receiving.request),
            None => self.waiting.remove(&sequence),
        }
    }

    /// Takes those out that bring too little. `received` is what has come of all messages of the
    /// link, and `is_contended` tells whether other connections wait for their room.
    pub(super) fn take_slow(
        &mut self,
        now: Deadline,
        received: u64,
        is_contended: impl Fn() -> bool,
    ) -> Vec<ArrivingRequest> {
        let overdue = self
            .receiving
            .iter_mut()
            .filter(|(_, of)| of.patience <= now);
        let slow = overdue.filter_map(|(sequence, of)| {
            let is_slow = !of.goes_on(now, received, &is_contended);
            is_slow.then_some(*sequence)
        });
        let slow: Vec<u64> = slow.collect();
        let taken = slow.iter().filter_map(|of| self.receiving.remove(of));
        taken.map(|receiving| receiving.request).collect()
    }

    /// Removes all requests.
    pub(super) fn take_all(&mut self) -> Vec<ArrivingRequest> {
        let receiving = std::mem::take(&mut self.receiving).into_values();
        let waiting = std::mem::take(&mut self.waiting).into_values();
        receiving.map(|of| of.request).chain(waiting).collect()
    }
}

impl Receiving {
    /// Its time is over. Returns whether it has brought enough to go on, for as long again.
    fn goes_on(&mut self, now: Deadline, received: u64, is_contended: impl Fn() -> bool) -> bool {
        if self.bytes.len() - self.before < PROGRESS_BYTES {
            return false;
        }
        let on_link = received - self.received_before;
        if on_link < CONTENDED_PROGRESS_BYTES && is_contended() {
            return false;
        }
        self.before = self.bytes.len();
        self.received_before = received;
        self.patience = now.later(PROGRESS_TIME);
        true
    }
}
