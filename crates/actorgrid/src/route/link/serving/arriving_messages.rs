//! Messages of more than 64 KiB that arrive in chunks: which ones wait for a ticket, and which ones
//! have one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::environment::Deadline;
use crate::route::budget::Charge;
use crate::route::link::{ChunkFrame, FrameKind, LinkError};
use crate::route::meta::Meta;
use crate::route::request_source::RequestCredit;
use crate::route::slab::SlabKey;

/// A client with a ticket must bring so much, or the rest, in [`PROGRESS_TIME`].
const PROGRESS_BYTES: usize = 16 * 1024;
const PROGRESS_TIME: Duration = Duration::from_secs(5);
/// The room made ahead for a message: its announced length is only a claim.
const FIRST_CAPACITY_BYTES: usize = 64 * 1024;

/// A request whose message follows in chunks.
pub(super) struct ArrivingRequest {
    pub(super) sequence: u64,
    pub(super) key: SlabKey,
    pub(super) receiver: Arc<str>,
    pub(super) message_type: Arc<str>,
    pub(super) meta: Meta,
    pub(super) credit: RequestCredit,
    /// The length of its message.
    pub(super) total: usize,
}

/// A request whose message has come.
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

/// The requests of a link whose messages have not come. In the order of their numbers; tickets are
/// given in this order.
#[derive(Default)]
pub(super) struct ArrivingMessages {
    waiting: VecDeque<ArrivingRequest>,
    receiving: Vec<Receiving>,
}

struct Receiving {
    request: ArrivingRequest,
    bytes: BytesMut,
    ticket: Ticket,
    /// By then it must have made progress.
    patience: Deadline,
    /// The bytes that had come when this time began.
    before: usize,
}

impl ArrivingMessages {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.receiving.is_empty()
    }

    pub(super) fn push(&mut self, request: ArrivingRequest) {
        self.waiting.push_back(request);
    }

    /// The request that gets the next ticket.
    pub(super) fn applicant(&self) -> Option<&ArrivingRequest> {
        self.waiting.front()
    }

    /// The applicant has its ticket, or does not get one.
    pub(super) fn take_applicant(&mut self) -> Option<ArrivingRequest> {
        self.waiting.pop_front()
    }

    /// A request has its ticket.
    pub(super) fn receive(&mut self, request: ArrivingRequest, ticket: Ticket, now: Deadline) {
        let bytes = BytesMut::with_capacity(request.total.min(FIRST_CAPACITY_BYTES));
        self.receiving.push(Receiving {
            request,
            bytes,
            ticket,
            patience: now.later(PROGRESS_TIME),
            before: 0,
        });
    }

    /// A chunk has come. Returns the request, if its message is complete.
    ///
    /// A chunk of a request that is not known here was on its way when that was answered.
    ///
    /// # Errors
    ///
    /// It came without a ticket, or does not fit to what was announced.
    pub(super) fn chunk(
        &mut self,
        chunk: ChunkFrame<'_>,
    ) -> Result<Option<ArrivedRequest>, LinkError> {
        let sequence = chunk.sequence;
        let place = self
            .receiving
            .iter()
            .position(|of| of.request.sequence == sequence);
        let Some(place) = place else {
            return match self.waiting.iter().any(|of| of.sequence == sequence) {
                true => Err(LinkError::CreditExceeded),
                false => Ok(None),
            };
        };
        let Some(receiving) = self.receiving.get_mut(place) else {
            return Ok(None);
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
        if !chunk.is_last {
            return Ok(None);
        }
        let Receiving {
            request,
            bytes,
            mut ticket,
            ..
        } = self.receiving.swap_remove(place);
        ticket.message.arrived();
        Ok(Some(ArrivedRequest {
            request,
            bytes: bytes.freeze(),
            ticket,
        }))
    }

    /// Takes a request out that is answered before its message has come.
    pub(super) fn remove(&mut self, sequence: u64) -> Option<ArrivingRequest> {
        let receiving = self.receiving.iter();
        let place = receiving
            .clone()
            .position(|of| of.request.sequence == sequence);
        if let Some(place) = place {
            return Some(self.receiving.swap_remove(place).request);
        }
        let place = self.waiting.iter().position(|of| of.sequence == sequence)?;
        self.waiting.remove(place)
    }

    /// Takes those out that bring too little.
    pub(super) fn take_slow(&mut self, now: Deadline) -> Vec<ArrivingRequest> {
        let mut slow = Vec::new();
        let mut place = 0;
        while let Some(receiving) = self.receiving.get_mut(place) {
            if now < receiving.patience {
                place += 1;
            } else if receiving.bytes.len() - receiving.before >= PROGRESS_BYTES {
                receiving.before = receiving.bytes.len();
                receiving.patience = now.later(PROGRESS_TIME);
                place += 1;
            } else {
                slow.push(self.receiving.swap_remove(place).request);
            }
        }
        slow
    }

    /// Takes all.
    pub(super) fn take_all(&mut self) -> Vec<ArrivingRequest> {
        let receiving = self.receiving.drain(..).map(|of| of.request);
        let waiting = self.waiting.drain(..);
        receiving.chain(waiting).collect()
    }
}
