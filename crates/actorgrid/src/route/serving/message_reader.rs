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

/// The bytes of a request that may come before it is decided whether there is room for it: HTTP/2
/// can grant a stream more only as it reads. A message of 64 KiB and its envelope fit.
pub(super) const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// A larger message waits for a ticket before it is read. One of this size arrives without a pause.
const TICKET_BYTES: usize = STREAM_WINDOW_BYTES as usize;
/// What each request is charged beyond its message: its metadata, and its place in a queue.
const REQUEST_BYTES: usize = 1024;
/// The capacity reserved ahead for a message that arrives in parts: its announced length is only
/// a claim until the bytes are there.
const FIRST_CAPACITY_BYTES: usize = 16 * 1024;
/// A message that brings less than [`PROGRESS_BYTES`] in this time is given up, unless less was
/// missing: by then the slowest network has delivered more.
const PROGRESS_TIME: Duration = Duration::from_secs(5);
const PROGRESS_BYTES: usize = 16 * 1024;
/// How often to look whether the client of a large message has taken earlier replies.
const REPLIES_LOOK: Duration = Duration::from_millis(5);
/// A message for which queued ones leave no room is rejected if none of them leaves in this time: an
/// actor that reads large messages takes one in less. It is short of the 100 ms in which a client
/// is told that a mailbox is busy.
const BUSY_GRACE: Duration = Duration::from_millis(25);

/// A message, and the room that it takes until it is handed out.
#[derive(Debug)]
pub(super) struct ReceivedMessage {
    pub(super) bytes: Bytes,
    pub(super) charge: Charge,
    /// Whether the bytes are a part of a buffer that may be larger.
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
    /// It came too slowly.
    Slow,
    /// There is no room for it.
    Full,
    /// It is not wanted, whatever it holds.
    Unwanted(RequestError),
    /// The client has reset it, or has gone.
    Broken,
}

impl From<BudgetFull> for Unreadable {
    fn from(BudgetFull: BudgetFull) -> Self {
        Self::Full
    }
}

/// The body of one request as it is read.
pub(super) struct MessageReader<'a> {
    connection: &'a ServedConnection,
    body: RecvStream,
    limit: usize,
    /// Runs while the client is waited for.
    patience: Option<Pin<Box<tokio::time::Sleep>>>,
    /// The bytes that have come since it began to run.
    progress: usize,
}

impl<'a> MessageReader<'a> {
    pub(super) fn new(connection: &'a ServedConnection, body: RecvStream, limit: usize) -> Self {
        Self {
            connection,
            body,
            limit,
            patience: None,
            progress: 0,
        }
    }

    /// The one message. `is_wanted` is asked before a message that does not come at once is read.
    ///
    /// Bytes that come later stay unread.
    pub(super) async fn message(
        mut self,
        is_wanted: impl FnOnce() -> Result<(), RequestError>,
    ) -> Result<ReceivedMessage, Unreadable> {
        let budget = &self.connection.received;
        if budget.is_full_of_queued() {
            return Err(Unreadable::Full);
        }
        let mut first = self.chunk().await?.ok_or(Unreadable::Missing)?;
        while first.len() < PREFIX_BYTES {
            let next = self.chunk().await?.ok_or(Unreadable::Cut)?;
            first = [first, next].concat().into();
        }
        let length = self.length(&mut first)?;
        if first.len() == length {
            return Ok(ReceivedMessage {
                bytes: first,
                charge: budget.charge(length + REQUEST_BYTES)?,
                is_shared: true,
            });
        }
        if first.len() > length {
            return Err(Unreadable::Trailing);
        }
        if length <= TICKET_BYTES {
            let charge = budget.charge_arriving(length + REQUEST_BYTES)?;
            return self.rest(first, length, charge).await;
        }
        is_wanted().map_err(Unreadable::Unwanted)?;
        let _ticketed = budget.begin_ticketed();
        let charge = self.ticket(first.len(), length).await?;
        self.replies_taken().await;
        self.rest(first, length, charge).await
    }

    /// Waits for the ticket of a large message.
    ///
    /// It waits for room that arriving messages hold. For room that queued ones hold it waits only
    /// while they leave. By the time that a message has for its first part, that part must be
    /// there, unread: so one that has stalled is in nobody's way.
    async fn ticket(&mut self, read: usize, length: usize) -> Result<Charge, Unreadable> {
        let connection = self.connection;
        let (budget, environment) = (&connection.received, &connection.environment);
        let bytes = length + REQUEST_BYTES;
        let mut ticket = pin!(budget.ticket(bytes, TICKET_BYTES));
        // From now on: if nothing has come unread when there is room, it has stalled.
        self.be_patient();
        let mut departures = budget.departures_before(bytes);
        let mut waited = Duration::ZERO;
        loop {
            if let Some(ticket) = environment.timeout(BUSY_GRACE, ticket.as_mut()).await {
                return Ok(ticket?);
            }
            let departures_before = departures;
            departures = budget.departures_before(bytes);
            if departures.is_some() && departures == departures_before {
                return Err(Unreadable::Full);
            }
            waited += BUSY_GRACE;
            let unread = self.body.flow_control().used_capacity();
            if waited >= PROGRESS_TIME && read + unread < PROGRESS_BYTES {
                connection.counters.slow.increment();
                return Err(Unreadable::Slow);
            }
        }
    }

    /// Waits until the client has taken so many replies that there will be room for replies as large
    /// as the messages that are here.
    async fn replies_taken(&self) {
        let ServedConnection {
            environment,
            received,
            replies,
            ..
        } = self.connection;
        while replies.used() > 0 && !replies.allows(replies.used() + received.used()) {
            environment.sleep(REPLIES_LOOK).await;
        }
    }

    /// Reads the prefix of a message: its length.
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

    /// Reads the rest of a message that arrives in parts, into a buffer of its own.
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
        }
        charge.arrived();
        Ok(ReceivedMessage {
            bytes: bytes.freeze(),
            charge,
            is_shared: false,
        })
    }

    /// The next bytes that are not none; none at the end of the body.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Unreadable> {
        loop {
            let Some(chunk) = self.next_data().await? else {
                return Ok(None);
            };
            // It fails only if more is released than was received.
            let _ = self.body.flow_control().release_capacity(chunk.len());
            self.progress += chunk.len();
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
            let environment = &self.connection.environment;
            while self.be_patient().as_mut().poll(cx).is_ready() {
                if std::mem::take(&mut self.progress) < PROGRESS_BYTES {
                    self.connection.counters.slow.increment();
                    return Poll::Ready(Err(Unreadable::Slow));
                }
                self.be_patient().set(environment.sleep(PROGRESS_TIME));
            }
            Poll::Pending
        })
        .await
    }

    /// The time that the client has for the next part of its message.
    fn be_patient(&mut self) -> &mut Pin<Box<tokio::time::Sleep>> {
        self.patience.get_or_insert_with(|| {
            self.progress = 0;
            Box::pin(self.connection.environment.sleep(PROGRESS_TIME))
        })
    }
}
