//! An accepted link, as its task and everyone who answers a request share it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::encoded_reply::{EncodedReply, Unencodable, encode};
use super::returned_credit::ReturnedCredit;
use super::served_state::{MAX_URGENT_BYTES, NotSmall, ServedRequest, ServedState, UnencodedReply};
use super::waiting_replies::WaitingReplies;
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::{AnyMessage, Body};
use crate::route::budget::{BudgetFull, Charge, ConnectionBudget, Purse};
use crate::route::caller::Caller;
use crate::route::directory::Directory;
use crate::route::link::credit::{ReplyCreditLine, Unanswered};
use crate::route::link::link_io::HasOutbox;
use crate::route::link::outbox::Outbox;
use crate::route::link::{HelloLimits, Interner, LinkError, MAX_BODY_BYTES, MAX_TYPE_BYTES};
use crate::route::pending::REPLY_BYTES;
use crate::route::request_source::{NotReplied, NotRepliedSmall, RequestKey, RequestSource};
use crate::route::slab::{Slab, SlabKey};

/// A larger reply is encoded in a task of its own, so that neither the actor nor the link is held
/// up.
const ENCODED_IN_TASK_BYTES: usize = 256 * 1024;

/// An accepted link.
pub(super) struct ServedLink {
    state: Mutex<ServedState>,
    returned: ReturnedCredit,
    directory: Arc<dyn Directory>,
    caller: Caller,
    replies: ConnectionBudget,
    /// Whether there was little room for replies when the link's task looked last.
    lacks_reply_room: AtomicBool,
    max_reply_bytes: usize,
}

impl ServedLink {
    /// A link to a client with these limits.
    pub(super) fn new(
        directory: Arc<dyn Directory>,
        caller: Caller,
        replies: ConnectionBudget,
        max_reply_bytes: usize,
        own: HelloLimits,
        client: HelloLimits,
    ) -> Self {
        let client_max = usize::try_from(client.max_message_bytes).unwrap_or(usize::MAX);
        Self {
            state: Mutex::new(ServedState {
                requests: Slab::new(),
                unanswered: Unanswered::new(own.max_unanswered),
                outbox: Outbox::paying(Purse::new(&replies)),
                types: Interner::new(client.types, MAX_TYPE_BYTES),
                credit: ReplyCreditLine::new(client.credit_bytes),
                waiting: WaitingReplies::new(),
                unencoded: Vec::new(),
                is_alone: false,
            }),
            returned: ReturnedCredit::new(own.credit_requests, own.credit_bytes),
            directory,
            lacks_reply_room: AtomicBool::new(false),
            caller,
            replies,
            max_reply_bytes: max_reply_bytes.min(client_max),
        }
    }

    pub(super) const fn max_reply_bytes(&self) -> usize {
        self.max_reply_bytes
    }

    /// Looks whether there is little room for replies, for all that ask until the next look.
    pub(super) fn look_for_reply_room(&self) -> bool {
        let lacks_room = self.replies.is_crowded();
        self.lacks_reply_room.store(lacks_room, Ordering::Relaxed);
        lacks_room
    }

    pub(super) const fn returned(&self) -> &ReturnedCredit {
        &self.returned
    }

    /// Takes places for up to so many requests that begin to be unanswered, fewer if too many are
    /// or if there is room only for so many in all. The places that are not used are
    /// [given back](Self::end_batch).
    pub(super) fn reserve(
        &self,
        places: &mut Vec<SlabKey>,
        wanted: usize,
        is_from_handler: bool,
        room: u64,
    ) {
        let mut state = self.lock();
        for _ in 0..wanted {
            if !state.unanswered.allows(is_from_handler) || state.unanswered.count() >= room {
                return;
            }
            state.unanswered.begin();
            places.push(state.requests.insert(ServedRequest::default()));
        }
    }

    /// The frames that were read together are taken: gives back the places that they did not use.
    /// If there was one frame, and its request is the only one, its answer is written at once.
    pub(super) fn end_batch(&self, unused: &mut Vec<SlabKey>, is_one_frame: bool) {
        let mut state = self.lock();
        for place in unused.drain(..) {
            state.requests.remove(place);
            state.unanswered.end();
        }
        state.is_alone = is_one_frame && state.unanswered.count() == 1;
    }

    /// Answers a request with an error, if it is unanswered. Returns whether it was.
    pub(super) fn fail(&self, key: RequestKey, error: &RequestError) -> bool {
        let mut state = self.lock();
        let Some(request) = state.finish(key) else {
            return false;
        };
        state.send_error(key.sequence, error);
        self.unlock(state);
        wake(request.waiter);
        true
    }

    /// Answers a request that was never unanswered.
    pub(super) fn reject(&self, sequence: u64, error: &RequestError) {
        let mut state = self.lock();
        state.send_error(sequence, error);
        self.unlock(state);
        self.directory.failed(error.kind());
    }

    /// Gives up what is left of a reply that nobody waits for any more.
    pub(super) fn give_up_reply(&self, sequence: u64) {
        let mut state = self.lock();
        let waiting = state.waiting.remove(sequence);
        if waiting.is_some() {
            state.unanswered.end();
        }
        let large = state.outbox.remove_large(sequence);
        if waiting.is_some() || large.is_some() {
            let error = RequestError::new(
                RequestErrorKind::NoReply,
                Executed::Yes,
                "the request was cancelled while its reply was sent",
            );
            // Behind the beginning of the reply, which may not be written yet.
            state.send_error_in_order(sequence, &error);
        }
        self.unlock(state);
        // Their charges wake others.
        drop((waiting, large));
    }

    /// Credit for replies has come.
    pub(super) fn add_credit(&self, bytes: u64) -> Result<(), LinkError> {
        let mut state = self.lock();
        state.credit.add(bytes)?;
        while let Some(reply) = state.waiting.front() {
            if !state.credit.allows(reply.credit()) {
                break;
            }
            if let Some(reply) = state.waiting.pop_front() {
                state.unanswered.end();
                state.send_encoded(reply);
            }
        }
        self.unlock(state);
        Ok(())
    }

    /// Replies for which there was no credit in time are lost.
    pub(super) fn expire_replies(&self, now: Deadline) {
        let mut state = self.lock();
        let expired = state.waiting.take_expired(now);
        if expired.is_empty() {
            return;
        }
        for reply in &expired {
            state.unanswered.end();
            state.send_error(reply.sequence, &RequestError::no_reply_room());
        }
        self.unlock(state);
        drop(expired);
    }

    /// Whether replies wait for credit.
    pub(super) fn has_waiting_replies(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Runs something with the question whether a request is unanswered.
    pub(super) fn with_open<R>(&self, act: impl FnOnce(&dyn Fn(RequestKey) -> bool) -> R) -> R {
        let state = self.lock();
        act(&|key| state.requests.get(key.place).is_some())
    }

    /// Whether so many errors and other urgent frames wait that nothing more should be read: they
    /// are outside of the budgets, and a client that does not read them could have any number. Of
    /// those, so many bytes are with the socket.
    pub(super) fn is_backed_up(&self, with_socket: usize) -> bool {
        self.lock().outbox.urgent_bytes() + with_socket > MAX_URGENT_BYTES
    }

    pub(super) fn unanswered(&self) -> u64 {
        self.lock().unanswered.count()
    }

    /// The large replies that are to be encoded.
    pub(super) fn take_unencoded(&self) -> Vec<UnencodedReply> {
        std::mem::take(&mut self.lock().unencoded)
    }

    /// Encodes a large reply and sends it.
    pub(super) fn encode_large(&self, reply: UnencodedReply) {
        let UnencodedReply {
            key,
            wire_name,
            body,
            length,
            charge,
        } = reply;
        // If neither is sent, nobody waits for it any more.
        match encode(|| body.encode(), length) {
            Ok(bytes) => self.send_large(key, wire_name, bytes, charge),
            Err(Unencodable) => self.fail(key, &Unencodable::error()),
        };
    }

    /// Whether everything is answered, and everything is with the socket.
    pub(super) fn is_done(&self) -> bool {
        let state = self.lock();
        state.requests.is_empty() && state.waiting.is_empty() && !state.outbox.has_output()
    }

    /// The link is over: nobody waits for anything any more.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        let requests = state.requests.take_all();
        let waiting = std::mem::replace(&mut state.waiting, WaitingReplies::new());
        let unencoded = std::mem::take(&mut state.unencoded);
        // No frame is read or written any more, and its charges are released.
        let outbox = std::mem::replace(&mut state.outbox, Outbox::new());
        drop(state);
        drop((waiting, unencoded, outbox));
        for request in requests {
            wake(request.waiter);
        }
    }

    fn send_reply(
        &self,
        key: RequestKey,
        body: Body,
        length: usize,
        charge: Option<Charge>,
    ) -> Result<(), NotReplied> {
        if length > self.max_reply_bytes {
            return match self.send_too_large(key, length) {
                true => Ok(()),
                false => Err(NotReplied::Gone(body)),
            };
        }
        if length > MAX_BODY_BYTES {
            // Code of the message, which may panic: not with the lock, nor once the request counts
            // as answered.
            let named = catch_unwind(AssertUnwindSafe(|| body.wire_name().to_owned()));
            let Ok(wire_name) = named else {
                return self.fail_reply(key, body, &Unencodable::error());
            };
            return match self.charge(length, charge) {
                Ok(charge) => self.reply_large(key, wire_name, body, length, Some(charge)),
                Err(BudgetFull) => {
                    match RequestSource::fail(self, key, &RequestError::no_reply_room()) {
                        true => Err(NotReplied::NoRoom(body)),
                        false => Err(NotReplied::Gone(body)),
                    }
                }
            };
        }
        let sent = match &body {
            Body::Value(value) => self.send_small(key, &**value, length, charge),
            Body::Encoded(payload) => self.send_small(key, payload, length, charge),
        };
        sent.map_err(|error| error.with(body))
    }

    /// Sends a reply of at most 65 KiB.
    fn send_small(
        &self,
        key: RequestKey,
        reply: &dyn AnyMessage,
        length: usize,
        charge: Option<Charge>,
    ) -> Result<(), NotRepliedSmall> {
        // Code of the message, which may panic: not with the lock, nor once the request counts as
        // answered.
        let Ok(wire_name) = catch_unwind(AssertUnwindSafe(|| reply.wire_name())) else {
            return match self.fail(key, &Unencodable::error()) {
                true => Ok(()),
                false => Err(NotRepliedSmall::Gone),
            };
        };
        let mut state = self.lock();
        let Some(request) = state.finish(key) else {
            return Err(NotRepliedSmall::Gone);
        };
        let replies = &self.replies;
        let sent = match state.send_small(key, wire_name, reply, length, charge, replies) {
            Ok(()) => Ok(()),
            Err(NotSmall::Unencodable) => {
                state.send_error(key.sequence, &Unencodable::error());
                Ok(())
            }
            Err(NotSmall::NoRoom) => {
                state.send_error(key.sequence, &RequestError::no_reply_room());
                Err(NotRepliedSmall::NoRoom)
            }
        };
        self.unlock(state);
        wake(request.waiter);
        sent
    }

    /// Answers that the reply is too large for the client. Returns whether somebody waited for it.
    #[cold]
    fn send_too_large(&self, key: RequestKey, length: usize) -> bool {
        let limit = self.max_reply_bytes;
        let text = format!("the reply has {length} bytes and the limit is {limit}");
        let error = RequestError::new(RequestErrorKind::ReplyTooLarge, Executed::Yes, text);
        RequestSource::fail(self, key, &error)
    }

    /// The room of a reply of its own.
    fn charge(&self, length: usize, charge: Option<Charge>) -> Result<Charge, BudgetFull> {
        charge.map_or_else(|| self.replies.charge(length + REPLY_BYTES), Ok)
    }

    /// Answers with an error in place of a reply.
    fn fail_reply(
        &self,
        key: RequestKey,
        body: Body,
        error: &RequestError,
    ) -> Result<(), NotReplied> {
        match self.fail(key, error) {
            true => Ok(()),
            false => Err(NotReplied::Gone(body)),
        }
    }

    fn reply_large(
        &self,
        key: RequestKey,
        wire_name: String,
        body: Body,
        length: usize,
        charge: Option<Charge>,
    ) -> Result<(), NotReplied> {
        if matches!(body, Body::Value(_)) && length > ENCODED_IN_TASK_BYTES {
            let mut state = self.lock();
            if state.requests.get(key.place).is_none() {
                drop(state);
                return Err(NotReplied::Gone(body));
            }
            state.unencoded.push(UnencodedReply {
                key,
                wire_name,
                body,
                length,
                charge,
            });
            let task = state.outbox.call_attention();
            drop(state);
            wake(task);
            return Ok(());
        }
        match encode(|| body.encode(), length) {
            Ok(bytes) => match self.send_large(key, wire_name, bytes, charge) {
                true => Ok(()),
                false => Err(NotReplied::Gone(body)),
            },
            Err(Unencodable) => self.fail_reply(key, body, &Unencodable::error()),
        }
    }

    /// Sends a large reply, if its request is unanswered. Returns whether it was.
    fn send_large(
        &self,
        key: RequestKey,
        wire_name: String,
        bytes: Bytes,
        charge: Option<Charge>,
    ) -> bool {
        let mut state = self.lock();
        let Some(request) = state.finish(key) else {
            return false;
        };
        state.send_or_wait(EncodedReply {
            sequence: key.sequence,
            until: key.deadline,
            wire_name,
            bytes,
            charge,
        });
        self.unlock(state);
        wake(request.waiter);
        true
    }

    /// Unlocks the state and sees to it that what was appended is written.
    fn unlock(&self, mut state: MutexGuard<'_, ServedState>) {
        let is_alone = std::mem::take(&mut state.is_alone);
        let in_flight = state.unanswered.count();
        let task = state.outbox.appended(in_flight, is_alone);
        drop(state);
        wake(task);
    }

    fn lock(&self) -> MutexGuard<'_, ServedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl RequestSource for ServedLink {
    fn reply(
        &self,
        key: RequestKey,
        reply: Body,
        length: usize,
        charge: Option<Charge>,
    ) -> Result<(), NotReplied> {
        self.send_reply(key, reply, length, charge)
    }

    fn reply_small(
        &self,
        key: RequestKey,
        reply: &dyn AnyMessage,
        length: usize,
    ) -> Result<(), NotRepliedSmall> {
        if length > self.max_reply_bytes {
            return match self.send_too_large(key, length) {
                true => Ok(()),
                false => Err(NotRepliedSmall::Gone),
            };
        }
        self.send_small(key, reply, length, None)
    }

    fn fail(&self, key: RequestKey, error: &RequestError) -> bool {
        let is_answered = Self::fail(self, key, error);
        if is_answered {
            self.directory.failed(error.kind());
        }
        is_answered
    }

    fn caller(&self) -> &Caller {
        &self.caller
    }

    fn lacks_reply_room(&self) -> bool {
        self.lacks_reply_room.load(Ordering::Relaxed)
    }

    fn is_gone(&self, key: RequestKey) -> bool {
        self.lock().requests.get(key.place).is_none()
    }

    fn poll_gone(&self, key: RequestKey, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let Some(request) = state.requests.get_mut(key.place) else {
            return Poll::Ready(());
        };
        let replaced = request.waiter.replace(cx.waker().clone());
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    fn return_credit(&self, bytes: u32) {
        if self.returned.add(bytes) {
            let task = self.lock().outbox.call_attention();
            wake(task);
        }
    }
}

impl HasOutbox for ServedLink {
    fn with_outbox<R>(&self, act: impl FnOnce(&mut Outbox) -> R) -> R {
        act(&mut self.lock().outbox)
    }
}
