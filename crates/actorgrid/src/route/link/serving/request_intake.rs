//! The frames of a client, one after the other: requests are checked and delivered, or answered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::{debug, error};

use super::arriving_messages::{ArrivedRequest, ArrivingMessages, ArrivingRequest, Ticket};
use super::link_service::LinkService;
use super::request_log::{LoggedRequest, RequestLog};
use super::served_link::ServedLink;
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::{Body, Payload};
use crate::route::answer::ReplyTo;
use crate::route::budget::{BudgetFull, Charge};
use crate::route::directory::{Queued, deliver, is_busy};
use crate::route::headers::Headers;
use crate::route::incoming::Incoming;
use crate::route::link::credit::RequestCreditLine;
use crate::route::link::link_io::HasOutbox as _;
use crate::route::link::{
    CreditFrame, FrameContent, FrameKind, HelloLimits, InternedTexts, LinkError, LinkFrame,
    PongFrame, RejectedRequest, RequestFrame,
};
use crate::route::meta::Meta;
use crate::route::reply_room::ReplyRoom;
use crate::route::request_source::{RequestCredit, RequestSource};
use crate::route::serving::ServedConnection;
use crate::route::slab::SlabKey;

/// The time that a request has whose client states none.
const DEFAULT_TIME: Duration = Duration::from_secs(60);
/// The bytes that each request is charged beyond its frame.
const REQUEST_BYTES: usize = 512;
/// More entries of requests that may be answered are looked through at once.
const MAX_LOGGED: usize = 16 * 1024;
/// The weight of a frame that carries nothing forward, as of a ping on a gRPC connection.
const IDLE_FRAME_WEIGHT: u32 = 4;
/// The weight of a frame that returns credit.
const CREDIT_WEIGHT: u32 = 1;

/// The requests of one link. Dropped, it withdraws those that are queued, and the link is over.
pub(super) struct RequestIntake {
    link: Arc<ServedLink>,
    service: Arc<LinkService>,
    connection: Arc<ServedConnection>,
    names: InternedTexts<Arc<str>>,
    types: InternedTexts<Arc<str>>,
    credit: RequestCreditLine,
    log: RequestLog<Queued>,
    pub(super) arriving: ArrivingMessages,
    /// Whether further requests are discarded.
    is_closing: bool,
}

/// The consequence of a frame for the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakenFrame {
    /// One that carries something forward.
    Useful,
    /// One of which only so many may come.
    Weight(u32),
    /// The client sends no further requests.
    LastRequest,
}

/// A request whose message is there.
struct WholeRequest {
    sequence: u64,
    key: SlabKey,
    body: Bytes,
    message_type: Arc<str>,
    meta: Meta,
    charge: Charge,
    reply_room: ReplyRoom,
    credit: RequestCredit,
}

impl RequestIntake {
    pub(super) fn new(
        link: Arc<ServedLink>,
        service: Arc<LinkService>,
        connection: Arc<ServedConnection>,
    ) -> Self {
        let HelloLimits {
            credit_requests,
            credit_bytes,
            names,
            types,
            ..
        } = service.limits();
        Self {
            link,
            service,
            connection,
            names: InternedTexts::new(names),
            types: InternedTexts::new(types),
            credit: RequestCreditLine::new(credit_requests, credit_bytes),
            log: RequestLog::new(),
            arriving: ArrivingMessages::default(),
            is_closing: false,
        }
    }

    /// Further requests are discarded; those whose messages have not come are given up.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    /// Those whose messages have not come are not executed.
    pub(super) fn give_up_arriving(&mut self) {
        for request in self.arriving.take_all() {
            let text = "the link is replaced by a newer one";
            let error = RequestError::refused(RequestErrorKind::MailboxClosed, text);
            self.link.fail(request.key, &error);
        }
    }

    /// Whether there is anything to sweep.
    pub(super) fn needs_sweep(&self) -> bool {
        !self.log.is_empty() || !self.link.returned().is_empty()
    }

    /// Takes one frame, which has so many bytes behind its header.
    ///
    /// # Errors
    ///
    /// The client has violated the protocol: the link must be closed.
    pub(super) fn take(
        &mut self,
        frame: LinkFrame<'_>,
        length: usize,
        now: Deadline,
    ) -> Result<TakenFrame, LinkError> {
        match frame {
            LinkFrame::Request(request) => self.request(&request, length, now)?,
            LinkFrame::Rejected(request) => self.rejected(&request, length)?,
            LinkFrame::Chunk(chunk) => match self.arriving.chunk(chunk)? {
                Some(arrived) => self.arrived(arrived),
                None => self.connection.received.note_received(length),
            },
            LinkFrame::Cancel(cancel) => return Ok(self.cancel(cancel.sequence)),
            LinkFrame::Credit(CreditFrame::Link { requests: 0, bytes }) => {
                self.link.add_credit(bytes)?;
                return Ok(TakenFrame::Weight(CREDIT_WEIGHT));
            }
            LinkFrame::Credit(_) => return Err(LinkError::CreditExceeded),
            LinkFrame::Ping(ping) => {
                let pong = PongFrame(ping.0);
                // It fails only if it is too large.
                let _ = self.link.with_outbox(|outbox| pong.encode(outbox.urgent()));
                return Ok(TakenFrame::Weight(IDLE_FRAME_WEIGHT));
            }
            LinkFrame::Pong(_) => return Ok(TakenFrame::Weight(IDLE_FRAME_WEIGHT)),
            LinkFrame::GoAway(_) => return Ok(TakenFrame::LastRequest),
            // The decoder lets none of these come.
            LinkFrame::Hello(_) => return Err(LinkError::UnexpectedKind(FrameKind::Hello)),
            LinkFrame::Reply(_) => return Err(LinkError::UnexpectedKind(FrameKind::Reply)),
            LinkFrame::Error(_) => return Err(LinkError::UnexpectedKind(FrameKind::Error)),
        }
        Ok(TakenFrame::Useful)
    }

    fn request(
        &mut self,
        frame: &RequestFrame<'_>,
        length: usize,
        now: Deadline,
    ) -> Result<(), LinkError> {
        let credit = self.spend(length, frame.is_from_handler)?;
        let receiver = self.names.resolve(frame.receiver, |text| text.into())?;
        let receiver = Arc::clone(receiver.get());
        let message_type = self.types.resolve(frame.message_type, |text| text.into())?;
        let message_type = Arc::clone(message_type.get());
        if self.is_closing {
            return Ok(());
        }
        let meta = self.meta(frame, now);
        if let Err(error) = self.admit(frame, length, &receiver, message_type, meta, credit) {
            self.link.reject(frame.sequence, &error);
        }
        Ok(())
    }

    /// Answers a request that must not be executed. All else holds for it as for others.
    fn rejected(&mut self, frame: &RejectedRequest<'_>, length: usize) -> Result<(), LinkError> {
        let _credit = self.spend(length, frame.is_from_handler)?;
        self.names.resolve(frame.receiver, |text| text.into())?;
        self.types.resolve(frame.message_type, |text| text.into())?;
        if !self.is_closing {
            self.link.reject(frame.sequence, &frame.flaw.to_error());
        }
        Ok(())
    }

    fn spend(&mut self, length: usize, is_from_handler: bool) -> Result<RequestCredit, LinkError> {
        let bytes = u64::try_from(length).unwrap_or(u64::MAX);
        self.credit.spend(bytes, is_from_handler)?;
        let source = Arc::clone(&self.link) as Arc<dyn RequestSource>;
        Ok(RequestCredit::new(source, length))
    }

    fn meta(&self, frame: &RequestFrame<'_>, now: Deadline) -> Meta {
        let time = match frame.time_left_ms {
            0 => DEFAULT_TIME,
            time => Duration::from_millis(time.into()),
        };
        let mut headers = Headers::default();
        for (name, value) in frame.headers.iter() {
            // They were checked when the frame was read.
            let _ = headers.add(name, value);
        }
        Meta {
            id: frame.id,
            deadline: now.later(time),
            token: Some(frame.token),
            headers,
            caller: self.connection.caller.clone(),
        }
    }

    /// Delivers a request, or lets its message come. An error answers it.
    fn admit(
        &mut self,
        frame: &RequestFrame<'_>,
        length: usize,
        receiver: &Arc<str>,
        message_type: Arc<str>,
        meta: Meta,
        credit: RequestCredit,
    ) -> Result<(), RequestError> {
        let connection = &self.connection;
        let total = frame.content.message_bytes();
        if total > self.service.max_message_bytes {
            let limit = self.service.max_message_bytes;
            return Err(RequestError::message_too_large(total, limit));
        }
        if connection.replies.is_crowded() {
            connection.counters.no_room.increment();
            return Err(RequestError::replies_not_taken());
        }
        let sequence = frame.sequence;
        let begin = || {
            let key = self
                .link
                .begin(sequence, meta.deadline, frame.is_from_handler);
            key.ok_or_else(too_many)
        };
        match frame.content {
            FrameContent::Whole(body) => {
                connection.received.note_received(total);
                let charge = connection.received.charge(length + REQUEST_BYTES);
                let charge = charge.map_err(|BudgetFull| {
                    connection.counters.no_room.increment();
                    RequestError::no_request_room()
                })?;
                let request = WholeRequest {
                    sequence,
                    key: begin()?,
                    // A queued message must not keep the read buffer alive.
                    body: Bytes::copy_from_slice(body),
                    message_type,
                    charge,
                    reply_room: ReplyRoom::Of(connection.replies.clone()),
                    credit,
                    meta,
                };
                self.deliver(receiver, request);
            }
            FrameContent::Chunked { .. } => {
                if is_busy(&*self.service.directory, receiver) {
                    return Err(RequestError::busy());
                }
                let key = begin()?;
                self.log(sequence, key, meta.deadline, None);
                self.arriving.push(ArrivingRequest {
                    sequence,
                    key,
                    receiver: Arc::clone(receiver),
                    message_type,
                    meta,
                    credit,
                    total,
                });
            }
        }
        Ok(())
    }

    /// The message of a request has come.
    fn arrived(&mut self, arrived: ArrivedRequest) {
        let ArrivedRequest {
            request,
            bytes,
            ticket: Ticket { message, reply },
        } = arrived;
        self.connection.received.note_received(bytes.len());
        let whole = WholeRequest {
            sequence: request.sequence,
            key: request.key,
            body: bytes,
            message_type: request.message_type,
            meta: request.meta,
            charge: message,
            reply_room: ReplyRoom::Reserved(reply),
            credit: request.credit,
        };
        self.deliver(&request.receiver, whole);
    }

    fn deliver(&mut self, receiver: &str, request: WholeRequest) {
        let WholeRequest {
            sequence,
            key,
            body,
            message_type,
            meta,
            charge,
            reply_room,
            credit,
        } = request;
        let deadline = meta.deadline;
        let body = Body::Encoded(Payload::shared(message_type, body));
        let reply_to = ReplyTo::source(Arc::clone(&self.link) as Arc<dyn RequestSource>, key);
        let incoming = Incoming::new(body, meta, self.link.max_reply_bytes(), reply_to)
            .charged(charge, reply_room)
            .with_credit(credit);
        let directory = &*self.service.directory;
        // It asks the type of the mailbox whether it takes such a message: code of users.
        let delivered = catch_unwind(AssertUnwindSafe(|| deliver(directory, receiver, incoming)));
        match delivered {
            Ok(Ok(queued)) => self.log(sequence, key, deadline, Some(queued)),
            Ok(Err(refused)) => {
                self.link.fail(key, &refused.error);
            }
            Err(_) => {
                error!("delivering a request panicked");
                let error = RequestError::no_reply("delivering the request panicked");
                self.link.fail(key, &error);
            }
        }
    }

    /// Remembers where a request is.
    fn log(&mut self, sequence: u64, key: SlabKey, deadline: Deadline, place: Option<Queued>) {
        if let Some(known) = self.log.find(sequence) {
            known.place = place;
            return;
        }
        self.log.push(LoggedRequest {
            sequence,
            key,
            deadline,
            place,
        });
        if self.log.len() >= MAX_LOGGED {
            self.sweep(Deadline::after(Duration::ZERO));
        }
    }

    /// Nobody waits for an answer any more.
    fn cancel(&mut self, sequence: u64) -> TakenFrame {
        let Some(logged) = self.log.find(sequence) else {
            self.link.give_up_reply(sequence);
            return TakenFrame::Weight(IDLE_FRAME_WEIGHT);
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
        TakenFrame::Useful
    }

    /// Takes a request back from where it is. Returns what was done.
    fn withdraw(&mut self, sequence: u64, place: Option<Queued>) -> Executed {
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
            let executed = self.withdraw(expired.sequence, expired.place);
            self.link
                .fail(expired.key, &RequestError::deadline(executed));
        }
        for slow in self.arriving.take_slow(now) {
            debug!("a large message came too slowly");
            self.connection.counters.slow.increment();
            self.link.fail(slow.key, &RequestError::too_slow());
        }
        if self.link.has_waiting_replies() {
            self.link.expire_replies(now);
        }
        self.return_credit();
    }

    /// Returns the credit of requests that are queued no more.
    pub(super) fn return_credit(&mut self) {
        let (requests, bytes) = self.link.returned().take();
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
        if self.link.returned().is_much() {
            self.return_credit();
        }
    }

    /// The first of those that wait has its ticket, or there is none.
    pub(super) fn ticket(&mut self, ticket: Result<Ticket, BudgetFull>, now: Deadline) {
        let Some(request) = self.arriving.take_applicant() else {
            return;
        };
        match ticket {
            Ok(ticket) => {
                let frame = CreditFrame::Ticket {
                    sequence: request.sequence,
                    bytes: u64::try_from(request.total).unwrap_or(u64::MAX),
                };
                let _ = self
                    .link
                    .with_outbox(|outbox| frame.encode(outbox.urgent()));
                self.arriving.receive(request, ticket, now);
            }
            Err(BudgetFull) => {
                self.connection.counters.no_room.increment();
                self.link
                    .fail(request.key, &RequestError::no_request_room());
            }
        }
    }
}

fn too_many() -> RequestError {
    RequestError::refused(
        RequestErrorKind::Busy,
        "as many requests of the link are unanswered as the peer allows",
    )
}

impl Drop for RequestIntake {
    fn drop(&mut self) {
        // First those that are queued leave their queues, so that nobody executes them.
        self.log = RequestLog::new();
        self.link.abandon();
    }
}
