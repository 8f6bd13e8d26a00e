//! An accepted link, as its task and everyone who answers a request share it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::returned_credit::ReturnedCredit;
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::Body;
use crate::route::budget::Charge;
use crate::route::directory::Directory;
use crate::route::link::credit::{ReplyCreditLine, Unanswered};
use crate::route::link::link_io::HasOutbox;
use crate::route::link::outbox::{LargeMessage, Outbox};
use crate::route::link::{
    ErrorFrame, FrameContent, HEADER_BYTES, HelloLimits, Interner, LinkError, MAX_BODY_BYTES,
    MAX_TYPE_BYTES, ReplyFrame,
};
use crate::route::request_source::{Answer, RequestSource};
use crate::route::slab::{Slab, SlabKey};

/// A larger reply is encoded in a task of its own, so that neither the actor nor the link is held
/// up.
const ENCODED_IN_TASK_BYTES: usize = 256 * 1024;
/// While more bytes of urgent frames than this wait for the client, nothing of it is read.
const MAX_URGENT_BYTES: usize = 1024 * 1024;
/// The bytes of a reply's frame beside its type and its message: fixed fields, and the heads of its
/// optional fields.
const REPLY_OVERHEAD_BYTES: usize = 32;

/// An accepted link.
pub(super) struct ServedLink {
    state: Mutex<ServedState>,
    returned: ReturnedCredit,
    directory: Arc<dyn Directory>,
    max_reply_bytes: usize,
}

struct ServedState {
    /// Those that are unanswered.
    requests: Slab<ServedRequest>,
    unanswered: Unanswered,
    outbox: Outbox,
    types: Interner,
    credit: ReplyCreditLine,
    /// Replies for which there is no credit, in order.
    waiting: VecDeque<EncodedReply>,
    /// Large replies, for the link's task.
    unencoded: Vec<UnencodedReply>,
    /// Whether the one unanswered request is all that happens on the link.
    is_alone: bool,
}

/// A request that is unanswered.
struct ServedRequest {
    sequence: u64,
    deadline: Deadline,
    /// The task that waits until nobody wants the answer any more.
    waiter: Option<Waker>,
}

/// A reply that is encoded.
struct EncodedReply {
    sequence: u64,
    /// Not taken by then, it is given up.
    until: Deadline,
    wire_name: String,
    bytes: Bytes,
    charge: Option<Charge>,
}

impl EncodedReply {
    /// The most credit that it can need.
    fn credit(&self) -> u64 {
        credit_of(&self.wire_name, self.bytes.len())
    }
}

/// A large reply that is yet to be encoded.
pub(super) struct UnencodedReply {
    pub(super) key: SlabKey,
    pub(super) body: Body,
    pub(super) charge: Option<Charge>,
}

/// The most credit that a reply can need.
fn credit_of(wire_name: &str, length: usize) -> u64 {
    let bytes = REPLY_OVERHEAD_BYTES + wire_name.len() + length;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The encoding of a reply panicked, or is not as long as it says.
struct Unencodable;

impl ServedLink {
    /// A link to a client with these limits.
    pub(super) fn new(
        directory: Arc<dyn Directory>,
        max_reply_bytes: usize,
        own: HelloLimits,
        client: HelloLimits,
    ) -> Self {
        let client_max = usize::try_from(client.max_message_bytes).unwrap_or(usize::MAX);
        Self {
            state: Mutex::new(ServedState {
                requests: Slab::new(),
                unanswered: Unanswered::new(own.max_unanswered),
                outbox: Outbox::new(),
                types: Interner::new(client.types, MAX_TYPE_BYTES),
                credit: ReplyCreditLine::new(client.credit_bytes),
                waiting: VecDeque::new(),
                unencoded: Vec::new(),
                is_alone: false,
            }),
            returned: ReturnedCredit::new(own.credit_requests, own.credit_bytes),
            directory,
            max_reply_bytes: max_reply_bytes.min(client_max),
        }
    }

    pub(super) const fn max_reply_bytes(&self) -> usize {
        self.max_reply_bytes
    }

    pub(super) const fn returned(&self) -> &ReturnedCredit {
        &self.returned
    }

    /// A request begins to be unanswered; none if too many are.
    pub(super) fn begin(
        &self,
        sequence: u64,
        deadline: Deadline,
        is_from_handler: bool,
    ) -> Option<SlabKey> {
        let mut state = self.lock();
        if !state.unanswered.allows(is_from_handler) {
            return None;
        }
        state.unanswered.begin();
        Some(state.requests.insert(ServedRequest {
            sequence,
            deadline,
            waiter: None,
        }))
    }

    /// Answers a request with an error, if it is unanswered. Returns whether it was.
    pub(super) fn fail(&self, key: SlabKey, error: &RequestError) -> bool {
        let mut state = self.lock();
        let Some(request) = state.finish(key) else {
            return false;
        };
        state.send_error(request.sequence, error);
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
        let place = state
            .waiting
            .iter()
            .position(|reply| reply.sequence == sequence);
        let waiting = place.and_then(|place| state.waiting.remove(place));
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
                state.send_encoded(reply);
            }
        }
        self.unlock(state);
        Ok(())
    }

    /// Replies for which there was no credit in time are lost.
    pub(super) fn expire_replies(&self, now: Deadline) {
        let mut state = self.lock();
        let mut expired = Vec::new();
        for _ in 0..state.waiting.len() {
            match state.waiting.pop_front() {
                Some(reply) if reply.until <= now => expired.push(reply),
                Some(reply) => state.waiting.push_back(reply),
                None => break,
            }
        }
        for reply in &expired {
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
    pub(super) fn with_open<R>(&self, act: impl FnOnce(&dyn Fn(SlabKey) -> bool) -> R) -> R {
        let state = self.lock();
        act(&|key| state.requests.get(key).is_some())
    }

    /// Whether so many errors and other urgent frames wait that nothing more should be read: they are
    /// outside of the budgets, and a client that does not read them could have any number.
    pub(super) fn is_backed_up(&self) -> bool {
        self.lock().outbox.urgent_bytes() > MAX_URGENT_BYTES
    }

    pub(super) fn unanswered(&self) -> u64 {
        self.lock().unanswered.count()
    }

    /// Notes that one frame was read, or several. If its request is the only one, its answer is
    /// written at once.
    pub(super) fn note_alone(&self, is_one_frame: bool) {
        let mut state = self.lock();
        state.is_alone = is_one_frame && state.unanswered.count() == 1;
    }

    /// The large replies that are to be encoded.
    pub(super) fn take_unencoded(&self) -> Vec<UnencodedReply> {
        std::mem::take(&mut self.lock().unencoded)
    }

    /// Encodes a large reply and sends it.
    pub(super) fn encode_large(&self, reply: UnencodedReply) {
        let UnencodedReply { key, body, charge } = reply;
        if encode(&body).is_ok_and(|bytes| self.send_large(key, &body, bytes, charge)) {
            return;
        }
        self.fail(key, &unencodable());
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
        let waiting = std::mem::take(&mut state.waiting);
        let unencoded = std::mem::take(&mut state.unencoded);
        // No frame is read or written any more, and its charges are released.
        let outbox = std::mem::replace(&mut state.outbox, Outbox::new());
        drop(state);
        drop((waiting, unencoded, outbox));
        for request in requests {
            wake(request.waiter);
        }
    }

    fn reply(&self, key: SlabKey, body: Body, charge: Option<Charge>) -> Result<(), Answer> {
        let length = body.encoded_len();
        if length > self.max_reply_bytes {
            let text = format!(
                "the reply has {length} bytes and the limit is {}",
                self.max_reply_bytes
            );
            let error = RequestError::new(RequestErrorKind::ReplyTooLarge, Executed::Yes, text);
            return match self.fail(key, &error) {
                true => Ok(()),
                false => Err(Ok(body)),
            };
        }
        if length > MAX_BODY_BYTES {
            return self.reply_large(key, body, length, charge);
        }
        let mut state = self.lock();
        let Some(request) = state.finish(key) else {
            drop(state);
            return Err(Ok(body));
        };
        let sent = state.send_small(&request, &body, length, charge);
        if sent.is_err() {
            state.send_error(request.sequence, &unencodable());
        }
        self.unlock(state);
        wake(request.waiter);
        Ok(())
    }

    fn reply_large(
        &self,
        key: SlabKey,
        body: Body,
        length: usize,
        charge: Option<Charge>,
    ) -> Result<(), Answer> {
        if matches!(body, Body::Value(_)) && length > ENCODED_IN_TASK_BYTES {
            let mut state = self.lock();
            if state.requests.get(key).is_none() {
                drop(state);
                return Err(Ok(body));
            }
            state.unencoded.push(UnencodedReply { key, body, charge });
            let task = state.outbox.call_attention();
            drop(state);
            wake(task);
            return Ok(());
        }
        match encode(&body) {
            Ok(bytes) => match self.send_large(key, &body, bytes, charge) {
                true => Ok(()),
                false => Err(Ok(body)),
            },
            Err(Unencodable) => {
                self.fail(key, &unencodable());
                Ok(())
            }
        }
    }

    /// Sends a large reply, if its request is unanswered. Returns whether it was.
    fn send_large(&self, key: SlabKey, body: &Body, bytes: Bytes, charge: Option<Charge>) -> bool {
        let wire_name = body.wire_name().to_owned();
        let mut state = self.lock();
        let Some(request) = state.finish(key) else {
            return false;
        };
        state.send_or_wait(EncodedReply {
            sequence: request.sequence,
            until: request.deadline,
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
        let task = match std::mem::take(&mut state.is_alone) {
            true => state.outbox.write_now(),
            false => state.outbox.take_sleeper(),
        };
        drop(state);
        wake(task);
    }

    fn lock(&self) -> MutexGuard<'_, ServedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServedState {
    /// A request is answered.
    fn finish(&mut self, key: SlabKey) -> Option<ServedRequest> {
        let request = self.requests.remove(key)?;
        self.unanswered.end();
        Some(request)
    }

    fn send_error(&mut self, sequence: u64, error: &RequestError) {
        // It fails only if it is too large, which no error is.
        let _ = ErrorFrame::of(sequence, error).encode(self.outbox.urgent());
    }

    fn send_error_in_order(&mut self, sequence: u64, error: &RequestError) {
        let _ = ErrorFrame::of(sequence, error).encode(self.outbox.data());
    }

    /// Sends a reply of at most 64 KiB: it is encoded straight into the send buffer.
    fn send_small(
        &mut self,
        request: &ServedRequest,
        body: &Body,
        length: usize,
        charge: Option<Charge>,
    ) -> Result<(), Unencodable> {
        let wire_name = body.wire_name();
        if !self.waiting.is_empty() || !self.credit.allows(credit_of(wire_name, length)) {
            let reply = EncodedReply {
                sequence: request.sequence,
                until: request.deadline,
                wire_name: wire_name.to_owned(),
                bytes: encode(body)?,
                charge,
            };
            self.waiting.push_back(reply);
            return Ok(());
        }
        let reference = self.types.reference(wire_name);
        let data = self.outbox.data();
        let start = data.len();
        let frame = ReplyFrame {
            sequence: request.sequence,
            message_type: reference,
            content: FrameContent::Whole(&[]),
        };
        let open = frame.begin(data, length);
        // Code of the message, which may panic.
        let is_encoded = match catch_unwind(AssertUnwindSafe(|| body.encode_into(data))) {
            Ok(()) => open.finish(data).is_ok(),
            Err(_) => {
                open.discard(data);
                false
            }
        };
        if !is_encoded {
            self.types.forget(reference);
            return Err(Unencodable);
        }
        let used = data.len() - start - HEADER_BYTES;
        // Never more than was checked.
        let _ = self.credit.spend(used as u64);
        self.outbox.charge(charge);
        Ok(())
    }

    fn send_or_wait(&mut self, reply: EncodedReply) {
        match self.waiting.is_empty() && self.credit.allows(reply.credit()) {
            true => self.send_encoded(reply),
            false => self.waiting.push_back(reply),
        }
    }

    /// Sends a reply for which there is credit.
    fn send_encoded(&mut self, reply: EncodedReply) {
        let EncodedReply {
            sequence,
            wire_name,
            bytes,
            charge,
            ..
        } = reply;
        let is_large = bytes.len() > MAX_BODY_BYTES;
        let content = match is_large {
            true => FrameContent::Chunked {
                bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            },
            false => FrameContent::Whole(&bytes),
        };
        let reference = self.types.reference(&wire_name);
        let frame = ReplyFrame {
            sequence,
            message_type: reference,
            content,
        };
        let data = self.outbox.data();
        let start = data.len();
        if frame.encode(data).is_err() {
            self.types.forget(reference);
            self.send_error(sequence, &unencodable());
            return;
        }
        let rest = if is_large { bytes.len() } else { 0 };
        let used = data.len() - start - HEADER_BYTES + rest;
        let _ = self.credit.spend(used as u64);
        match is_large {
            true => self.outbox.push_large(LargeMessage {
                sequence,
                bytes,
                charge,
            }),
            false => self.outbox.charge(charge),
        }
    }
}

/// The error for a reply whose encoding panicked, or is longer than it says.
fn unencodable() -> RequestError {
    RequestError::no_reply("the reply cannot be encoded")
}

fn encode(body: &Body) -> Result<Bytes, Unencodable> {
    // Code of the message, which may panic.
    catch_unwind(AssertUnwindSafe(|| body.encode())).map_err(|_| Unencodable)
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl RequestSource for ServedLink {
    fn answer(&self, key: SlabKey, answer: Answer, charge: Option<Charge>) -> Result<(), Answer> {
        match answer {
            Ok(body) => self.reply(key, body, charge),
            Err(error) => match self.fail(key, &error) {
                true => {
                    self.directory.failed(error.kind());
                    Ok(())
                }
                false => Err(Err(error)),
            },
        }
    }

    fn is_gone(&self, key: SlabKey) -> bool {
        self.lock().requests.get(key).is_none()
    }

    fn poll_gone(&self, key: SlabKey, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let Some(request) = state.requests.get_mut(key) else {
            return Poll::Ready(());
        };
        let replaced = request.waiter.replace(cx.waker().clone());
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    fn return_credit(&self, bytes: usize) {
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
