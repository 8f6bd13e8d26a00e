//! The end of requests that were delivered: they are cancelled, their time is over, or they leave
//! their queues.

use tracing::debug;

use super::arriving_messages::ArrivingRequest;
use super::request_intake::{IDLE_FRAME_WEIGHT, REQUEST_BYTES, RequestIntake, TakenFrame};
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::route::directory::Queued;
use crate::route::link::CreditFrame;
use crate::route::link::link_io::HasOutbox as _;
use crate::route::serving::ServedConnection;

impl RequestIntake {
    /// Nobody waits for an answer any more.
    pub(super) fn cancel(&mut self, sequence: u64) -> TakenFrame {
        let taken = match self.cancels.take() {
            true => TakenFrame::Useful,
            false => TakenFrame::Weight(IDLE_FRAME_WEIGHT),
        };
        let Some(logged) = self.log.find(sequence) else {
            self.link.give_up_reply(sequence);
            return taken;
        };
        let (key, place) = (logged.key, logged.place.take());
        let executed = self.withdraw(sequence, place);
        let error = RequestError::new(
            RequestErrorKind::NoReply,
            executed,
            "the request was cancelled",
        );
        if !self.link.fail(key, &error) {
            self.link.give_up_reply(sequence);
        }
        match taken {
            TakenFrame::Useful => TakenFrame::Cancelled,
            other => other,
        }
    }

    /// Takes a request back from where it is. Returns what was done.
    pub(super) fn withdraw(&mut self, sequence: u64, place: Option<Queued>) -> Executed {
        let is_withdrawn = match place {
            Some(mut queued) => queued.withdraw() == Some(true),
            None => self.arriving.remove(sequence).is_some(),
        };
        if is_withdrawn {
            Executed::No
        } else {
            Executed::Maybe
        }
    }

    /// Answers the requests whose time is over, and forgets those that are answered.
    pub(super) fn sweep(&mut self, now: Deadline) {
        let log = &mut self.log;
        let swept = self.link.with_open(|is_open| log.sweep(now, is_open));
        for answered in swept.answered {
            if let Some(place) = answered.place {
                place.release();
            }
        }
        for expired in swept.expired {
            let executed = self.withdraw(expired.key.sequence, expired.place);
            self.link
                .fail(expired.key, &RequestError::deadline(executed));
        }
        for slow in self.take_slow(now) {
            debug!("a large message came too slowly");
            self.connection.counters.slow.increment();
            self.link.fail(slow.key, &RequestError::too_slow());
        }
        self.link.look_for_reply_room();
        self.replies_wait = self.link.has_waiting_replies();
        if self.replies_wait {
            self.link.expire_replies(now);
        }
        self.room.fit(self.link.unanswered());
        self.return_credit();
    }

    /// Takes over the credit of requests that are queued no more, and gives their room back.
    pub(super) fn collect_credit(&mut self) {
        let (requests, bytes) = self.link.returned().take();
        if requests == 0 {
            return;
        }
        let room = usize::try_from(bytes).unwrap_or(usize::MAX);
        let overhead = usize::try_from(requests).unwrap_or(usize::MAX) * REQUEST_BYTES;
        self.queued.refund(room.saturating_add(overhead));
        self.to_return.0 += requests;
        self.to_return.1 += bytes;
    }

    pub(super) fn take_slow(&mut self, now: Deadline) -> Vec<ArrivingRequest> {
        let ServedConnection {
            received, replies, ..
        } = &*self.connection;
        // The room of a message's reply is as large.
        let largest = self.service.max_message_bytes;
        let is_contended = || {
            [received, replies]
                .iter()
                .any(|of| of.is_contended(largest))
        };
        self.arriving
            .take_slow(now, received.received(), is_contended)
    }

    /// Returns the credit of requests that are queued no more.
    pub(super) fn return_credit(&mut self) {
        self.collect_credit();
        let (requests, bytes) = std::mem::take(&mut self.to_return);
        if requests == 0 {
            return;
        }
        // Never more than was spent.
        let _ = self.credit.add(requests, bytes);
        let frame = CreditFrame::Link { requests, bytes };
        // It fails only if it is too large.
        let _ = self
            .link
            .with_outbox(|outbox| frame.encode(outbox.urgent()));
    }

    /// Returns credit, if it is worth a frame of its own.
    pub(super) fn return_much_credit(&mut self) {
        self.link.returned().look();
        self.collect_credit();
        let (requests, bytes) = self.to_return;
        if self.link.returned().is_much_of(requests, bytes) {
            self.return_credit();
        }
    }
}
