//! The frames of a client, one after the other: requests are checked and delivered, or answered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::error;

use super::arriving_messages::{
    ArrivedRequest, ArrivingMessages, ArrivingRequest, TakenChunk, Ticket,
};
use super::cancel_allowance::CancelAllowance;
use super::link_service::LinkService;
use super::request_log::{LoggedRequest, RequestLog};
use super::request_room::RequestRoom;
use super::served_link::ServedLink;
use crate::environment::Deadline;
use crate::error::{RequestError, RequestErrorKind};
use crate::message::{Body, Payload};
use crate::route::answer::ReplyTo;
use crate::route::budget::{BudgetFull, Charge, Purse};
use crate::route::directory::{Queued, deliver, is_busy};
use crate::route::headers::Headers;
use crate::route::incoming::Incoming;
use crate::route::link::credit::RequestCreditLine;
use crate::route::link::link_io::HasOutbox as _;
use crate::route::link::{
    ChunkFrame, CreditFrame, FrameContent, FrameKind, HEADER_BYTES, HelloLimits, InternedTexts,
    LinkError, LinkFrame, PongFrame, RejectedRequest, RequestFrame,
};
use crate::route::meta::Meta;
use crate::route::reply_room::ReplyRoom;
use crate::route::request_source::{RequestKey, RequestSource, SourceRequest};
use crate::route::serving::ServedConnection;
use crate::route::slab::SlabKey;

/// The time that a request has whose client states none.
const DEFAULT_TIME: Duration = Duration::from_secs(60);
/// The bytes that each request is charged beyond its frame.
pub(super) const REQUEST_BYTES: usize = 512;
/// The fields of a request that have more bytes than this are charged until it is answered: its
/// headers stay with it.
const LARGE_HEAD_BYTES: usize = 1024;
/// Places for so many requests are taken at a time.
const MAX_RESERVED: usize = 32;
/// More entries of requests that may be answered are looked through at once, and again when there
/// are twice as many as remained.
pub(super) const MAX_LOGGED: usize = 16 * 1024;
/// The weight of a frame that carries nothing forward, as of a ping on a gRPC connection.
pub(super) const IDLE_FRAME_WEIGHT: u32 = 4;
/// The weight of a frame that returns credit.
const CREDIT_WEIGHT: u32 = 1;
/// The weight of a chunk that is discarded, or brings little.
const CHUNK_WEIGHT: u32 = 1;
/// A chunk that brings less, and is not the last one, brings little: senders fill them.
const FULL_CHUNK_BYTES: usize = 1024;

/// The requests of one link. Dropped, it withdraws those that are queued, and the link is over.
pub(super) struct RequestIntake {
    pub(super) link: Arc<ServedLink>,
    pub(super) service: Arc<LinkService>,
    pub(super) connection: Arc<ServedConnection>,
    pub(super) names: InternedTexts<Arc<str>>,
    pub(super) types: InternedTexts<Arc<str>>,
    pub(super) credit: RequestCreditLine,
    /// The credit that is to be returned: requests and bytes.
    pub(super) to_return: (u32, u64),
    /// The room of the requests that use credit.
    pub(super) queued: Purse,
    /// Places for the requests that come next in this batch.
    pub(super) places: Vec<SlabKey>,
    /// The bytes of messages that came in this batch.
    pub(super) received: usize,
    /// Whether there was little room for replies when the batch began.
    pub(super) lacks_reply_room: bool,
    pub(super) room: RequestRoom,
    pub(super) log: RequestLog<Queued>,
    /// The entries at which the log is swept ahead of its time.
    pub(super) sweeps_at: usize,
    pub(super) cancels: CancelAllowance,
    pub(super) arriving: ArrivingMessages,
    /// Whether replies waited for credit at the last sweep.
    pub(super) replies_wait: bool,
    /// Whether further requests are discarded.
    pub(super) is_closing: bool,
}

/// The consequence of a frame for the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakenFrame {
    /// One that carries something forward.
    Useful,
    /// One that ends a request early. More than so many are read later.
    Cancelled,
    /// One of which only so many may come.
    Weight(u32),
    /// The client sends no further requests.
    LastRequest,
}

/// A request whose message is there.
struct WholeRequest {
    key: RequestKey,
    body: Bytes,
    message_type: Arc<str>,
    meta: Meta,
    reply_to: SourceRequest,
    head: Option<Charge>,
    /// The room of a message that came in chunks, and of its reply.
    ticket: Option<Ticket>,
}

/// A request that may come in.
struct AdmittedRequest {
    key: RequestKey,
    reply_to: SourceRequest,
    /// The room that it occupies until it is answered, if that is much.
    head: Option<Charge>,
}

impl RequestIntake {
    pub(super) fn new(
        link: Arc<ServedLink>,
        service: Arc<LinkService>,
        connection: Arc<ServedConnection>,
        limits: HelloLimits,
    ) -> Self {
        let HelloLimits {
            credit_requests,
            credit_bytes,
            max_unanswered,
            names,
            types,
            ..
        } = limits;
        Self {
            to_return: (0, 0),
            queued: Purse::new(&connection.received),
            places: Vec::new(),
            received: 0,
            lacks_reply_room: false,
            link,
            service,
            names: InternedTexts::new(names),
            types: InternedTexts::new(types),
            credit: RequestCreditLine::new(credit_requests, credit_bytes),
            room: RequestRoom::new(connection.under_way.clone()),
            log: RequestLog::new(),
            sweeps_at: MAX_LOGGED,
            cancels: CancelAllowance::new(max_unanswered),
            arriving: ArrivingMessages::default(),
            replies_wait: false,
            is_closing: false,
            connection,
        }
    }

    /// Frames that were read together follow.
    pub(super) fn begin_batch(&mut self) {
        self.collect_credit();
        self.lacks_reply_room = self.link.look_for_reply_room();
    }

    /// The frames that were read together are taken. Whether there was only one, and nothing is
    /// behind it, decides how its answer is sent.
    pub(super) fn end_batch(&mut self, is_one_frame: bool) {
        self.link.end_batch(&mut self.places, is_one_frame);
        let received = std::mem::take(&mut self.received);
        self.connection.received.note_received(received);
        self.return_much_credit();
    }

    /// Gives back room that is kept for what comes next: nothing comes.
    pub(super) fn trim(&mut self) {
        self.queued.trim();
        self.link.with_outbox(|outbox| outbox.trim_purse());
    }

    /// Further requests are discarded.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    /// Withdraws all requests that are not handed out: those whose messages have not come, and
    /// those that are queued. They are answered, and not executed.
    pub(super) fn withdraw_all(&mut self) {
        let text = "the link is replaced by a newer one";
        let error = RequestError::refused(RequestErrorKind::MailboxClosed, text);
        for request in self.arriving.take_all() {
            self.link.fail(request.key, &error);
        }
        for (key, mut place) in self.log.take_places() {
            if place.withdraw() == Some(true) {
                self.link.fail(key, &error);
            }
        }
    }

    /// Whether there is anything to sweep.
    pub(super) fn needs_sweep(&self) -> bool {
        !self.log.is_empty()
            || self.to_return.0 > 0
            || self.replies_wait
            || !self.link.returned().is_empty()
    }

    /// Takes one frame, which has so many bytes behind its header. `behind` it, so many more have
    /// come.
    ///
    /// # Errors
    ///
    /// The client has violated the protocol: the link must be closed.
    pub(super) fn take(
        &mut self,
        frame: LinkFrame<'_>,
        length: usize,
        behind: usize,
        now: Deadline,
    ) -> Result<TakenFrame, LinkError> {
        match frame {
            LinkFrame::Request(request) => self.request(&request, length, behind, now)?,
            LinkFrame::Rejected(request) => {
                self.rejected(&request, length)?;
                return Ok(TakenFrame::Weight(IDLE_FRAME_WEIGHT));
            }
            LinkFrame::Chunk(chunk) => return self.chunk(chunk),
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
        behind: usize,
        now: Deadline,
    ) -> Result<(), LinkError> {
        self.spend(length, frame.is_from_handler)?;
        self.cancels.note_request();
        let receiver = self.names.resolve(frame.receiver, |text| text.into())?;
        let receiver = Arc::clone(receiver.get());
        let message_type = self.types.resolve(frame.message_type, |text| text.into())?;
        let message_type = Arc::clone(message_type.get());
        if self.is_closing {
            self.unused(length);
            return Ok(());
        }
        match self.admit(frame, length, behind, &receiver, now) {
            Ok(admitted) => {
                let meta = Self::meta(frame, admitted.key.deadline);
                self.receive(frame, receiver, message_type, meta, admitted);
            }
            Err(error) => {
                self.unused(length);
                self.link.reject(frame.sequence, &error);
            }
        }
        Ok(())
    }

    /// Answers a request that must not be executed. All else holds for it as for others.
    fn rejected(&mut self, frame: &RejectedRequest<'_>, length: usize) -> Result<(), LinkError> {
        self.spend(length, frame.is_from_handler)?;
        self.unused(length);
        self.cancels.note_request();
        self.names.resolve(frame.receiver, |text| text.into())?;
        self.types.resolve(frame.message_type, |text| text.into())?;
        if !self.is_closing {
            self.link.reject(frame.sequence, &frame.flaw.to_error());
        }
        Ok(())
    }

    fn spend(&mut self, length: usize, is_from_handler: bool) -> Result<(), LinkError> {
        let bytes = u64::try_from(length).unwrap_or(u64::MAX);
        self.credit.spend(bytes, is_from_handler)
    }

    /// The credit that was spent last is to be returned.
    fn unused(&mut self, length: usize) {
        let (requests, bytes) = &mut self.to_return;
        *requests += 1;
        *bytes += u64::try_from(length).unwrap_or(u64::MAX);
    }

    fn meta(frame: &RequestFrame<'_>, deadline: Deadline) -> Meta {
        let mut headers = Headers::default();
        for (name, value) in frame.headers.iter() {
            // They were checked when the frame was read.
            let _ = headers.add(name, value);
        }
        Meta {
            id: frame.id,
            deadline,
            token: Some(frame.token),
            headers,
            caller: None,
        }
    }

    /// Decides whether a request may come in, and finds its room. An error answers it.
    fn admit(
        &mut self,
        frame: &RequestFrame<'_>,
        length: usize,
        behind: usize,
        receiver: &str,
        now: Deadline,
    ) -> Result<AdmittedRequest, RequestError> {
        let connection = &self.connection;
        let total = frame.content.message_bytes();
        if total > self.service.max_message_bytes {
            let limit = self.service.max_message_bytes;
            return Err(RequestError::message_too_large(total, limit));
        }
        if self.lacks_reply_room {
            connection.counters.no_room.increment();
            return Err(RequestError::replies_not_taken());
        }
        let head = match frame.content {
            FrameContent::Whole(body) => {
                let fields = length.saturating_sub(body.len());
                match fields > LARGE_HEAD_BYTES {
                    true => Some(self.head(fields)?),
                    false => None,
                }
            }
            FrameContent::Chunked { .. } if is_busy(&*self.service.directory, receiver) => {
                return Err(RequestError::busy());
            }
            FrameContent::Chunked { .. } => Some(self.head(length)?),
        };
        let paid = self.queued.pay(length + REQUEST_BYTES);
        paid.map_err(|BudgetFull| self.no_room())?;
        let begun = self.begin(frame.is_from_handler, behind / (HEADER_BYTES + length) + 1);
        let place = begun.inspect_err(|_| self.queued.refund(length + REQUEST_BYTES))?;
        let key = RequestKey {
            place,
            sequence: frame.sequence,
            deadline: now.later(time_left(frame)),
        };
        let source = Arc::clone(&self.link) as Arc<dyn RequestSource>;
        let credit = u32::try_from(length).unwrap_or(u32::MAX);
        Ok(AdmittedRequest {
            key,
            reply_to: SourceRequest::new(source, key, credit),
            head,
        })
    }

    /// Delivers a request, or lets its message come.
    fn receive(
        &mut self,
        frame: &RequestFrame<'_>,
        receiver: Arc<str>,
        message_type: Arc<str>,
        meta: Meta,
        admitted: AdmittedRequest,
    ) {
        let AdmittedRequest {
            key,
            reply_to,
            head,
        } = admitted;
        match frame.content {
            FrameContent::Whole(body) => {
                self.received += body.len();
                let request = WholeRequest {
                    key,
                    // A queued message must not keep the read buffer alive.
                    body: Bytes::copy_from_slice(body),
                    message_type,
                    head,
                    meta,
                    reply_to,
                    ticket: None,
                };
                self.deliver(&receiver, request);
            }
            FrameContent::Chunked { .. } => {
                self.log(key, None, head);
                self.arriving.push(ArrivingRequest {
                    key,
                    receiver,
                    message_type,
                    meta,
                    reply_to,
                    total: frame.content.message_bytes(),
                });
            }
        }
    }

    /// A request begins to be unanswered. `like_it` are the requests of its size for which there
    /// are bytes: one lock of the link serves them all.
    fn begin(&mut self, is_from_handler: bool, like_it: usize) -> Result<SlabKey, RequestError> {
        let Self {
            link,
            room,
            connection,
            places,
            ..
        } = self;
        // The places that are reserved for handlers are not for the requests behind theirs.
        let wanted = match is_from_handler {
            true => 1,
            false => like_it.clamp(1, MAX_RESERVED),
        };
        if places.is_empty() {
            link.reserve(places, wanted, is_from_handler, room.requests());
        }
        if let Some(place) = places.pop() {
            return Ok(place);
        }
        if link.unanswered() >= room.requests() && !room.grow() {
            connection.counters.no_room.increment();
            return Err(RequestError::no_request_room());
        }
        link.reserve(places, wanted, is_from_handler, room.requests());
        places.pop().ok_or_else(too_many)
    }

    /// Charges what a request occupies until it is answered, apart from its message.
    fn head(&self, bytes: usize) -> Result<Charge, RequestError> {
        let charge = self.connection.under_way.charge(bytes + REQUEST_BYTES);
        charge.map_err(|BudgetFull| self.no_room())
    }

    /// Counts a request for which there is no room.
    fn no_room(&self) -> RequestError {
        self.connection.counters.no_room.increment();
        RequestError::no_request_room()
    }

    fn chunk(&mut self, chunk: ChunkFrame<'_>) -> Result<TakenFrame, LinkError> {
        let bytes = chunk.bytes.len();
        let taken = self.arriving.chunk(chunk)?;
        if !matches!(taken, TakenChunk::Discarded) {
            self.received += bytes;
        }
        Ok(match taken {
            TakenChunk::Part if bytes >= FULL_CHUNK_BYTES => TakenFrame::Useful,
            TakenChunk::Discarded | TakenChunk::Part => TakenFrame::Weight(CHUNK_WEIGHT),
            TakenChunk::Last(arrived) => {
                self.arrived(*arrived);
                TakenFrame::Useful
            }
        })
    }

    /// The message of a request has come.
    fn arrived(&mut self, arrived: ArrivedRequest) {
        let ArrivedRequest {
            request,
            bytes,
            ticket,
        } = arrived;
        let whole = WholeRequest {
            key: request.key,
            body: bytes,
            message_type: request.message_type,
            meta: request.meta,
            reply_to: request.reply_to,
            // The log has it.
            head: None,
            ticket: Some(ticket),
        };
        self.deliver(&request.receiver, whole);
    }

    fn deliver(&mut self, receiver: &str, request: WholeRequest) {
        let WholeRequest {
            key,
            body,
            message_type,
            meta,
            reply_to,
            head,
            ticket,
        } = request;
        let body = Body::Encoded(Payload::shared(message_type, body));
        // One whose message came in chunks.
        let is_logged = ticket.is_some();
        let reply_to = ReplyTo::source(reply_to);
        let mut incoming = Incoming::new(body, meta, self.link.max_reply_bytes(), reply_to);
        if let Some(Ticket { message, reply }) = ticket {
            incoming = incoming.charged(message, ReplyRoom::Reserved(reply));
        }
        let directory = &*self.service.directory;
        // It asks the type of the mailbox whether it takes such a message: code of users.
        let delivered = catch_unwind(AssertUnwindSafe(|| deliver(directory, receiver, incoming)));
        match delivered {
            Ok(Ok(queued)) if is_logged => {
                if let Some(logged) = self.log.find(key.sequence) {
                    logged.place = Some(queued);
                }
            }
            Ok(Ok(queued)) => self.log(key, Some(queued), head),
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

    /// Remembers a request that has come, and where it is.
    fn log(&mut self, key: RequestKey, place: Option<Queued>, head: Option<Charge>) {
        self.log.push(LoggedRequest { key, place, head });
        if self.log.len() >= self.sweeps_at {
            self.sweep(Deadline::after(Duration::ZERO));
            self.sweeps_at = MAX_LOGGED.max(2 * self.log.len());
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
                    sequence: request.key.sequence,
                    bytes: u64::try_from(request.total).unwrap_or(u64::MAX),
                };
                let _ = self
                    .link
                    .with_outbox(|outbox| frame.encode(outbox.urgent()));
                let received = self.connection.received.received();
                self.arriving.receive(request, ticket, now, received);
            }
            Err(BudgetFull) => {
                self.connection.counters.no_room.increment();
                self.link
                    .fail(request.key, &RequestError::no_request_room());
            }
        }
    }
}

/// The time in which the client wants an answer.
fn time_left(frame: &RequestFrame<'_>) -> Duration {
    match frame.time_left_ms {
        0 => DEFAULT_TIME,
        time => Duration::from_millis(time.into()),
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
