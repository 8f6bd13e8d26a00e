//! Reads the one message of a request, within the bounds of its connection.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::RecvStream;

use super::served_connection::ServedConnection;
use crate::error::RequestError;
use crate::route::budget::{BudgetFull, Charge};
use crate::route::codec::frame::PREFIX_BYTES;

/// The bytes of a request that may arrive before it is decided whether there is room for it: HTTP/2
/// can grant a stream more only as it reads. A message of 64 KiB and its envelope fit.
pub(super) const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// A larger message waits for a ticket before it is read. One of this size arrives without a pause.
const TICKET_BYTES: usize = STREAM_WINDOW_BYTES as usize;
/// The capacity reserved in advance for a message that arrives in parts: its announced length is
/// only a claim until the bytes have arrived.
const FIRST_CAPACITY_BYTES: usize = 16 * 1024;
/// A message that brings neither [`PROGRESS_BYTES`] nor its rest in this time is abandoned: even
/// the slowest network has delivered more by then.
const PROGRESS_TIME: Duration = Duration::from_secs(5);
const PROGRESS_BYTES: usize = 16 * 1024;
/// The messages of a connection must together bring this much in that time while other connections
/// wait for the room that they hold: otherwise clients that send at the slowest allowed pace would
/// keep the others waiting for as long as large messages take at that pace.
const CONTENDED_PROGRESS_BYTES: u64 = 1024 * 1024;
/// How often to check whether it helps a large message to wait for room.
const LOOK_TIME: Duration = Duration::from_millis(25);
/// A message for which queued messages leave no room is rejected if none of them leaves for this
/// many looks in a row: 75 ms, so that a client learns within 100 ms that a mailbox is busy.
const STUCK_LOOKS: u32 = 3;

/// A message, and the room that it occupies until it is handed out.
#[derive(Debug)]
pub(super) struct ReceivedMessage {
    pub(super) bytes: Bytes,
    pub(super) charge: Charge,
    /// Room for a reply as large as a large message.
    pub(super) reply_room: Option<Charge>,
    /// Whether the bytes are part of a buffer that may be larger.
    pub(super) is_shared: bool,
}

/// Why a request is not one message.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The body ended before a message.
    Missing,
    /// The body ended within the message.
    Cut,
    /// The message has this many bytes.
    TooLarge(usize),
    Compressed,
    /// There are bytes after the message.
    Trailing,
    /// It arrived too slowly.
    Slow,
    /// There is no room for it.
    Full,
    /// It is rejected whatever it contains.
    Unwanted(RequestError),
    /// The client has reset it, or is gone.
    Broken,
}

impl From<BudgetFull> for Unreadable {
    fn from(BudgetFull: BudgetFull) -> Self {
        Self::Full
    }
}

/// Reads the body of one request.
pub(super) struct MessageReader<'a> {
    connection: &'a ServedConnection,
    body: RecvStream,
    limit: usize,
    /// Runs while the client is awaited.
    patience: Option<Pin<Box<tokio::time::Sleep>>>,
    /// The bytes that have arrived since `patience` began to run.
    progress: usize,
    /// The bytes that had arrived on the whole connection when `patience` began to run.
    received_before: u64,
}

impl<'a> MessageReader<'a> {
    pub(super) fn new(connection: &'a ServedConnection, body: RecvStream, limit: usize) -> Self {
        Self {
            connection,
            body,
            limit,
            patience: None,
            progress: 0,
            received_before: 0,
        }
    }

    /// Reads the one message of at most a few kilobytes, outside the budget: health is reported no
    /// matter how full a peer is.
    pub(super) async fn small_message(mut self) -> Result<Bytes, Unreadable> {
        let mut message = self.prefix().await?;
        let length = self.length(&mut message)?;
        while message.len() < length {
            let next = self.chunk().await?.ok_or(Unreadable::Cut)?;
            message = [message, next].concat().into();
        }
        match message.len() > length {
            true => Err(Unreadable::Trailing),
            false => Ok(message),
        }
    }

    /// Reads the one message. `is_wanted` is called before a message is read that does not arrive
    /// at once.
    ///
    /// Bytes that arrive later stay unread.
    pub(super) async fn message(
        mut self,
        is_wanted: impl FnOnce() -> Result<(), RequestError>,
    ) -> Result<ReceivedMessage, Unreadable> {
        let budget = &self.connection.received;
        if budget.is_full_of_queued() {
            return Err(Unreadable::Full);
        }
        let mut first = self.prefix().await?;
        let length = self.length(&mut first)?;
        if first.len() == length {
            return Ok(ReceivedMessage {
                bytes: first,
                charge: budget.charge(length)?,
                reply_room: None,
                is_shared: true,
            });
        }
        if first.len() > length {
            return Err(Unreadable::Trailing);
        }
        if length <= TICKET_BYTES {
            // The announced length is only a claim: only the bytes that have arrived are charged.
            let charge = budget.charge_arriving(first.len())?;
            return self.rest(first, length, charge).await;
        }
        is_wanted().map_err(Unreadable::Unwanted)?;
        let _ticketed = budget.begin_ticketed();
        let (charge, reply_room) = self.ticket(first.len(), length).await?;
        let unread = self.body.flow_control().used_capacity();
        if first.len() + unread >= PROGRESS_BYTES {
            // The client could not send more before this. For a client that has stalled, the time
            // keeps running.
            self.patience = None;
        }
        let mut message = self.rest(first, length, charge).await?;
        message.reply_room = Some(reply_room);
        Ok(message)
    }

    /// Reads the first bytes, at least those of the prefix.
    async fn prefix(&mut self) -> Result<Bytes, Unreadable> {
        let mut first = self.chunk().await?.ok_or(Unreadable::Missing)?;
        while first.len() < PREFIX_BYTES {
            let next = self.chunk().await?.ok_or(Unreadable::Cut)?;
            first = [first, next].concat().into();
        }
        Ok(first)
    }

    /// Waits until there is room for a reply as large as a large message, and then for its ticket.
    ///
    /// It waits for room that arriving messages hold. For room that queued messages hold, it waits
    /// only while they leave. Within the time that a message has for its first part, that part must
    /// have arrived, unread: so a stalled message is in nobody's way.
    async fn ticket(&mut self, read: usize, length: usize) -> Result<(Charge, Charge), Unreadable> {
        let ServedConnection {
            environment,
            counters,
            received,
            replies,
            ..
        } = self.connection;
        // Starts now: if nothing has arrived unread when there is room, the message has stalled.
        self.be_patient();
        let mut tickets = pin!(async {
            let reply_room = replies.ticket(length, TICKET_BYTES).await?;
            let ticket = received.ticket(length, TICKET_BYTES).await?;
            Ok::<_, BudgetFull>((ticket, reply_room))
        });
        let (mut departures, mut looks) = (received.departures_before(length), 0);
        for look in 1_u32.. {
            if let Some(tickets) = environment.timeout(LOOK_TIME, tickets.as_mut()).await {
                return Ok(tickets?);
            }
            let departures_before = departures;
            departures = received.departures_before(length);
            let is_stuck = departures.is_some() && departures == departures_before;
            looks = if is_stuck { looks + 1 } else { 0 };
            if looks >= STUCK_LOOKS {
                return Err(Unreadable::Full);
            }
            let unread = self.body.flow_control().used_capacity();
            if LOOK_TIME * look >= PROGRESS_TIME && read + unread < PROGRESS_BYTES {
                counters.slow.increment();
                break;
            }
        }
        Err(Unreadable::Slow)
    }

    /// Reads the prefix of a message, and returns its length.
    fn length(&self, first: &mut Bytes) -> Result<usize, Unreadable> {
        let flag = first.get_u8();
        let length = usize::try_from(first.get_u32()).unwrap_or(usize::MAX);
        if flag != 0 {
            return Err(Unreadable::Compressed);
        }
        if length > self.limit {
            return Err(Unreadable::TooLarge(length));
        }
        Ok(length)
    }

    /// Reads the rest of a message that arrives in parts, into its own buffer.
    async fn rest(
        &mut self,
        first: Bytes,
        length: usize,
        mut charge: Charge,
    ) -> Result<ReceivedMessage, Unreadable> {
        let mut bytes = BytesMut::with_capacity(length.min(FIRST_CAPACITY_BYTES));
        let mut chunk = first;
        loop {
            let missing = length - bytes.len();
            if chunk.len() > missing {
                return Err(Unreadable::Trailing);
            }
            if bytes.capacity() - bytes.len() < chunk.len() {
                // Grow by doubling, but not beyond the message.
                bytes.reserve(bytes.len().max(chunk.len()).min(missing));
            }
            bytes.put(chunk);
            if bytes.len() == length {
                break;
            }
            chunk = self.chunk().await?.ok_or(Unreadable::Cut)?;
            if length <= TICKET_BYTES {
                charge.extend(chunk.len())?;
            }
        }
        charge.arrived();
        Ok(ReceivedMessage {
            bytes: bytes.freeze(),
            charge,
            reply_room: None,
            is_shared: false,
        })
    }

    /// Reads the next non-empty bytes; `None` at the end of the body.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Unreadable> {
        loop {
            let Some(chunk) = self.next_data().await? else {
                return Ok(None);
            };
            // Fails only if more is released than was received.
            let _ = self.body.flow_control().release_capacity(chunk.len());
            self.progress += chunk.len();
            self.connection.received.note_received(chunk.len());
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }

    async fn next_data(&mut self) -> Result<Option<Bytes>, Unreadable> {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(data) = self.body.poll_data(cx) {
                return Poll::Ready(data.transpose().map_err(|_| Unreadable::Broken));
            }
            while self.be_patient().as_mut().poll(cx).is_ready() {
                if !self.makes_progress() {
                    self.connection.counters.slow.increment();
                    return Poll::Ready(Err(Unreadable::Slow));
                }
                self.patience = None;
            }
            Poll::Pending
        })
        .await
    }

    /// Returns the timer for the next part of the message, and starts it if it is not running.
    fn be_patient(&mut self) -> &mut Pin<Box<tokio::time::Sleep>> {
        let ServedConnection {
            environment,
            received,
            ..
        } = self.connection;
        self.patience.get_or_insert_with(|| {
            self.progress = 0;
            self.received_before = received.received();
            Box::pin(environment.sleep(PROGRESS_TIME))
        })
    }

    /// Whether enough has arrived in the time that has passed.
    fn makes_progress(&self) -> bool {
        let ServedConnection {
            received, replies, ..
        } = self.connection;
        if self.progress < PROGRESS_BYTES {
            return false;
        }
        let on_connection = received.received() - self.received_before;
        // Requests that wait for room for their replies wait for this message too: its reply room
        // is as large.
        let is_contended = [received, replies]
            .iter()
            .any(|budget| budget.is_contended(self.limit));
        on_connection >= CONTENDED_PROGRESS_BYTES || !is_contended
    }
}
