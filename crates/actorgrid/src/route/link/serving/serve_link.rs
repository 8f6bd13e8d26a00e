//! The one task of an accepted link: it reads, decides, writes, and ends.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tracing::debug;

use super::flood_pace::FloodPace;
use super::large_ticket::large_ticket;
use super::linger::{LINGER_TIME, linger};
use super::link_alarms::{LinkAlarm, LinkAlarms};
use super::link_clients::ClientPlace;
use super::link_greeting::{GreetedClient, NoHello, read_hello, refuse};
use super::link_service::LinkService;
use super::link_turn::LinkTurn;
use super::part_of_frame::PartOfFrame;
use super::request_intake::{RequestIntake, TakenFrame};
use super::served_link::ServedLink;
use crate::environment::{Deadline, Environment};
use crate::route::link::link_io::{HasOutbox as _, IoEvent, IoMode, LinkIo};
use crate::route::link::outbox::Outbox;
use crate::route::link::{
    Decoded, Decoder, GoAwayFrame, GoAwayReason, HEADER_BYTES, LinkError, LinkSide, LinkVersions,
};
use crate::route::serving::{EndOrders, KeepAlive, KeepAliveStep, Look, ServedConnection};
use crate::route::transport::Transport;

/// A client from which less comes between two looks needs little room for it.
const LITTLE_BYTES: u64 = 64 * 1024;
/// After so many sweeps since something was read, nothing happens on the link.
const SWEEPS_UNTIL_IDLE: u8 = 2;
/// Serves a link to its end. `unread` are bytes that have come behind the greeting; `too_late` ends
/// when the client has not sent its `Hello` in time.
pub(in crate::route) async fn serve_link(
    connection: Arc<ServedConnection>,
    service: Arc<LinkService>,
    mut transport: Transport,
    mut unread: BytesMut,
    end: &EndOrders,
    too_late: Pin<&mut impl Future<Output = ()>>,
) {
    let mut decoder = Decoder::new(LinkSide::Client);
    let greeting = async {
        let client = read_hello(&service, &mut transport, &mut decoder, &mut unread).await?;
        let place = service.clients.take_place(client.identity).await;
        place.map(|place| (client, place)).map_err(NoHello::Refused)
    };
    let greeted = tokio::select! {
        biased;
        greeted = greeting => greeted,
        () = too_late => Err(NoHello::Gone),
    };
    match greeted {
        Ok((client, place)) => {
            connection.activity.greet();
            let begun = BegunLink {
                transport,
                decoder,
                buffer: unread,
                client,
                place,
            };
            let driver = LinkDriver::new(&connection, &service, begun, end);
            drive(driver).await;
        }
        Err(NoHello::Refused(error)) => {
            debug!(%error, "a link is refused");
            refuse(&connection.environment, transport, &error).await;
        }
        Err(NoHello::Gone) => debug!("a connection does not complete its greeting"),
    }
}

/// A link whose client has greeted.
struct BegunLink {
    transport: Transport,
    decoder: Decoder,
    /// The bytes that have come behind the `Hello`.
    buffer: BytesMut,
    client: GreetedClient,
    place: ClientPlace,
}

/// An event on an accepted link.
enum ServedLinkEvent {
    Alarm(LinkAlarm),
    /// Others have had their turn.
    NextTurn,
    Io(IoEvent),
}

/// How a link ends.
enum ServedLinkEnd {
    /// The socket is of no use any more.
    Broken,
    /// The client has this word, and time to read it.
    GoAway { reason: GoAwayReason, text: String },
    /// Everything is sent.
    Done,
}

/// Drives a link.
struct LinkDriver {
    environment: Environment,
    connection: Arc<ServedConnection>,
    link: Arc<ServedLink>,
    io: LinkIo,
    decoder: Decoder,
    buffer: BytesMut,
    intake: RequestIntake,
    place: ClientPlace,
    keep_alive: KeepAlive,
    pace: FloodPace,
    turn: LinkTurn,
    /// The reason for which no further requests are taken.
    closing: Option<GoAwayReason>,
    /// Whether what comes is looked at. Otherwise it is discarded.
    reads: bool,
    alarms: LinkAlarms,
    /// The bytes that had been read at the last look.
    read_before: u64,
    part: PartOfFrame,
    /// The number in the first `GoAway`, above which nothing is executed.
    last_taken: Option<u64>,
    /// The sweeps until the link counts as idle.
    sweeps_left: u8,
}

/// Drives a link until it ends.
async fn drive(mut driver: LinkDriver) {
    // Bytes may have come behind the `Hello`.
    let mut ended = driver.read().err();
    while ended.is_none() {
        let event = driver.next().await;
        ended = driver.handle(event).err();
    }
    if let Some(ended) = ended {
        driver.end(ended).await;
    }
}

impl LinkDriver {
    fn new(
        connection: &Arc<ServedConnection>,
        service: &Arc<LinkService>,
        begun: BegunLink,
        end: &EndOrders,
    ) -> Self {
        let BegunLink {
            transport,
            decoder,
            buffer,
            client,
            place,
        } = begun;
        let environment = connection.environment.clone();
        let limits = service.limits_among(connection.counters.open());
        let link = Arc::new(ServedLink::new(
            Arc::clone(&service.directory),
            connection.caller.clone(),
            connection.replies.clone(),
            service.max_message_bytes,
            limits,
            client.limits,
        ));
        let version = LinkVersions {
            oldest: client.version,
            newest: client.version,
        };
        let hello = service.hello(version, limits);
        // It fails only if the namespace is too long, which none is.
        let _ = link.with_outbox(|outbox| hello.encode(outbox.urgent()));
        Self {
            intake: RequestIntake::new(link.clone(), service.clone(), connection.clone(), limits),
            connection: connection.clone(),
            link,
            io: LinkIo::new(transport),
            decoder,
            buffer,
            alarms: LinkAlarms::new(environment.clone(), end, &place.orders.replaced),
            place,
            keep_alive: KeepAlive::default(),
            pace: FloodPace::new(environment.now()),
            turn: LinkTurn::new(&connection.busy),
            closing: None,
            reads: true,
            read_before: 0,
            part: PartOfFrame::new(connection.received.clone()),
            last_taken: None,
            sweeps_left: 0,
            environment,
        }
    }

    /// Waits for what happens next.
    async fn next(&mut self) -> ServedLinkEvent {
        let may_go_on = self.may_read();
        let is_turn_over = self.turn.is_over();
        let mode = IoMode {
            reads: may_go_on && !is_turn_over,
            reports_flush: self.closing.is_some(),
        };
        let Self {
            link,
            io,
            buffer,
            alarms,
            turn,
            ..
        } = self;
        poll_fn(|cx| {
            if let Poll::Ready(alarm) = alarms.poll(cx) {
                return Poll::Ready(ServedLinkEvent::Alarm(alarm));
            }
            if may_go_on && is_turn_over && turn.poll_others(cx).is_ready() {
                return Poll::Ready(ServedLinkEvent::NextTurn);
            }
            let event = io.poll(cx, &**link, mode, buffer);
            if event.is_pending() && mode.reads {
                turn.rest();
            }
            event.map(ServedLinkEvent::Io)
        })
        .await
    }

    /// Decides. An error ends the link.
    fn handle(&mut self, event: ServedLinkEvent) -> Result<(), ServedLinkEnd> {
        match event {
            ServedLinkEvent::Alarm(alarm) => self.alarm(alarm)?,
            ServedLinkEvent::NextTurn => {
                if self.turn.begin() {
                    self.io.limit_reads(self.turn.bytes(), &mut self.buffer);
                }
                self.read()?;
            }
            ServedLinkEvent::Io(IoEvent::Read(bytes)) => {
                self.sweeps_left = SWEEPS_UNTIL_IDLE;
                self.turn.note_read(bytes);
                self.connection.activity.note_read(bytes);
                match self.reads {
                    true => self.read()?,
                    // It is read only to learn that the client has closed.
                    false => {
                        self.buffer.clear();
                        self.part.note(None, true);
                    }
                }
            }
            ServedLinkEvent::Io(IoEvent::Flushed | IoEvent::Written) => {}
            ServedLinkEvent::Io(IoEvent::Attention) => self.attend(),
            ServedLinkEvent::Io(IoEvent::Ended(ended)) => {
                debug!(?ended, "a link has ended");
                return Err(ServedLinkEnd::Broken);
            }
        }
        self.apply();
        self.arm_sweep();
        let is_done = self.closing.is_some() && self.intake.arriving.is_empty();
        match is_done && self.io.is_idle() && self.link.is_done() {
            true => Err(ServedLinkEnd::Done),
            false => Ok(()),
        }
    }

    /// Handles what seldom happens.
    fn alarm(&mut self, alarm: LinkAlarm) -> Result<(), ServedLinkEnd> {
        match alarm {
            LinkAlarm::Close(GoAwayReason::Replaced) if !self.reads => {}
            LinkAlarm::Close(GoAwayReason::Replaced) => self.close(GoAwayReason::Replaced),
            LinkAlarm::Close(_) if self.closing.is_some() => {}
            LinkAlarm::Close(reason) => self.close(reason),
            LinkAlarm::CutOff => return Err(ServedLinkEnd::Broken),
            LinkAlarm::Look => self.look()?,
            LinkAlarm::Sweep => self.swept(),
            LinkAlarm::Resume => {}
            LinkAlarm::Ticket(ticket) => self.intake.ticket(ticket, now()),
        }
        Ok(())
    }

    /// Whether anything may be read now.
    fn may_read(&self) -> bool {
        !self.alarms.is_held_up() && !self.link.is_backed_up(self.io.urgent_bytes())
    }

    /// Takes the frames that are there whole, as many as a turn allows.
    fn read(&mut self) -> Result<(), ServedLinkEnd> {
        // Once for all of them: reading it costs as much as a small request.
        let now = now();
        self.intake.begin_batch();
        let mut taken = 0;
        let mut frames = 0;
        let mut part = None;
        let mut weight = 0_u32;
        let mut cancelled = 0_u32;
        let failed = loop {
            if !self.turn.takes_frame() {
                break None;
            }
            let rest = self.buffer.get(taken..).unwrap_or_default();
            let (frame, bytes) = match self.decoder.decode(rest) {
                Ok(Decoded::Frame { frame, bytes }) => (frame, bytes),
                Ok(Decoded::Skipped { bytes }) => {
                    taken += bytes;
                    weight = weight.saturating_add(4);
                    continue;
                }
                Ok(Decoded::Incomplete { needed }) => {
                    part = Some(needed).filter(|_| !rest.is_empty());
                    break None;
                }
                Err(error) => break Some(error),
            };
            frames += 1;
            let behind = rest.len() - bytes;
            match self.intake.take(frame, bytes - HEADER_BYTES, behind, now) {
                Ok(TakenFrame::Useful) => {}
                Ok(TakenFrame::Cancelled) => cancelled += 1,
                Ok(TakenFrame::Weight(more)) => weight = weight.saturating_add(more),
                Ok(TakenFrame::LastRequest) => {
                    self.closing.get_or_insert(GoAwayReason::Shutdown);
                }
                Err(error) => break Some(error),
            }
            taken += bytes;
        };
        match taken == self.buffer.len() {
            // This keeps its room.
            true => self.buffer.clear(),
            false => self.buffer.advance(taken),
        }
        self.intake.end_batch(frames == 1 && self.buffer.is_empty());
        if let Some(error) = failed {
            return Err(ServedLinkEnd::violated(error));
        }
        self.part.note(part, taken > 0);
        self.hold_up(weight, cancelled)?;
        let may_go_on = self.turn.is_over() && self.may_read();
        self.turn.note_busy(may_go_on);
        Ok(())
    }

    /// Holds up a client that sends too many frames that carry nothing forward, or cancels too many
    /// requests. The latter does not close the link: each request may be cancelled.
    fn hold_up(&mut self, idle: u32, cancelled: u32) -> Result<(), ServedLinkEnd> {
        let weight = idle.saturating_add(cancelled);
        if weight == 0 {
            return Ok(());
        }
        let now = self.environment.now();
        let Some(pause) = self.connection.control.spend(weight, now) else {
            return Ok(());
        };
        if idle > 0 && self.pace.hold_up(pause, now) {
            self.connection.counters.over_pace.increment();
            return Err(ServedLinkEnd::GoAway {
                reason: GoAwayReason::Flood,
                text: GoAwayReason::Flood.to_string(),
            });
        }
        self.alarms.hold_up(pause);
        Ok(())
    }

    /// No further requests are taken.
    fn close(&mut self, reason: GoAwayReason) {
        self.closing = Some(reason);
        self.intake.close();
        if reason == GoAwayReason::Replaced {
            self.reads = false;
            // Before the newer link has anything admitted.
            self.intake.withdraw_all();
            self.place.orders.stopped.cancel();
        }
        self.send_go_away(reason, "");
    }

    fn send_go_away(&mut self, reason: GoAwayReason, text: &str) {
        // Requests that come behind the first one are discarded, so their numbers count no more.
        let last_sequence = self.decoder.last_sequence();
        let frame = GoAwayFrame {
            last_sequence: *self.last_taken.get_or_insert(last_sequence),
            reason,
            text,
        };
        // It fails only if the text is too long.
        let _ = self
            .link
            .with_outbox(|outbox| frame.encode(outbox.urgent()));
    }

    /// Looks whether the client is there.
    fn look(&mut self) -> Result<(), ServedLinkEnd> {
        self.alarms.set_look();
        let read = self.connection.activity.bytes_read();
        if read - std::mem::replace(&mut self.read_before, read) < LITTLE_BYTES {
            self.io.expect_little(&mut self.buffer);
            self.intake.trim();
        }
        if self.part.is_overdue() {
            self.connection.counters.no_room.increment();
            return Err(ServedLinkEnd::GoAway {
                reason: GoAwayReason::Crowded,
                text: GoAwayReason::Crowded.to_string(),
            });
        }
        let step = self.keep_alive.look(Look {
            bytes_read: read,
            bytes_written: self.io.written(),
            is_write_blocked: self.io.is_blocked(),
            is_throttled: !(self.reads && self.may_read()),
        });
        match step {
            // The client asks, if it has nothing else to send.
            KeepAliveStep::Nothing | KeepAliveStep::Ask => Ok(()),
            KeepAliveStep::Close(reason) => {
                debug!(reason, "a link is closed");
                self.connection.counters.dead.increment();
                Err(ServedLinkEnd::GoAway {
                    reason: GoAwayReason::Timeout,
                    text: reason.to_owned(),
                })
            }
        }
    }

    fn swept(&mut self) {
        self.intake.sweep(now());
        let activity = &self.connection.activity;
        let unanswered = usize::try_from(self.link.unanswered()).unwrap_or(usize::MAX);
        self.sweeps_left = self.sweeps_left.saturating_sub(1);
        if self.sweeps_left == 0 && unanswered == 0 {
            // There may be thousands of idle links: none keeps the buffers or the room of a busy
            // one.
            self.intake.trim();
            self.io.expect_little(&mut self.buffer);
            self.link.with_outbox(Outbox::release_room);
        }
        if unanswered == 0 && activity.streams() > 0 {
            activity.idle_from(self.environment.now());
        }
        activity.set_streams(unanswered);
    }

    /// Somebody has called: there is credit to return, or a large reply to encode.
    fn attend(&mut self) {
        self.intake.return_much_credit();
        // Nothing waits for the end of a reply.
        let _ = self.link.with_outbox(|outbox| outbox.take_finished());
        for reply in self.link.take_unencoded() {
            let link = self.link.clone();
            // It ends with its work, and the server's end waits for it.
            self.connection.tasks.spawn(async move {
                link.encode_large(reply);
            });
        }
    }

    /// Sees to it that the first of the large messages waits for its ticket.
    fn apply(&mut self) {
        let Some(applicant) = self.intake.arriving.applicant() else {
            self.alarms.forget_ticket();
            return;
        };
        let sequence = applicant.key.sequence;
        if self.alarms.applicant() == Some(sequence) {
            return;
        }
        let total = applicant.total;
        let ticket = large_ticket(
            self.environment.clone(),
            self.connection.received.clone(),
            self.connection.replies.clone(),
            total,
        );
        self.alarms.await_ticket(sequence, ticket);
    }

    fn arm_sweep(&mut self) {
        if self.alarms.is_sweep_set() {
            return;
        }
        let is_needed = self.intake.needs_sweep();
        if is_needed {
            // Busy from the first request on, so that it is not closed for another connection.
            self.connection.activity.set_streams(1);
        }
        if is_needed || self.sweeps_left > 0 {
            self.alarms.set_sweep();
        }
    }

    /// Ends the link.
    async fn end(mut self, end: ServedLinkEnd) {
        // A newer link of the client need not wait: nothing of this one is read any more.
        self.place.orders.stopped.cancel();
        match end {
            ServedLinkEnd::Broken => return,
            ServedLinkEnd::GoAway { reason, text } => {
                self.send_go_away(reason, &text);
                let environment = self.environment.clone();
                if environment
                    .timeout(LINGER_TIME, self.flush())
                    .await
                    .is_none()
                {
                    return;
                }
            }
            ServedLinkEnd::Done => {}
        }
        let Self {
            environment,
            io,
            link,
            intake,
            place,
            ..
        } = self;
        let transport = io.into_transport(&*link);
        // Whatever is queued must not be executed while the client closes.
        drop(intake);
        // A newer link of the client need not wait.
        drop(place);
        if let Some(transport) = transport {
            linger(&environment, transport).await;
        }
    }

    /// Writes what is there.
    async fn flush(&mut self) {
        let mode = IoMode {
            reads: false,
            reports_flush: true,
        };
        let Self {
            link, io, buffer, ..
        } = self;
        loop {
            match poll_fn(|cx| io.poll(cx, &**link, mode, buffer)).await {
                IoEvent::Flushed | IoEvent::Ended(_) => return,
                IoEvent::Read(_) | IoEvent::Written | IoEvent::Attention => {}
            }
        }
    }
}

impl ServedLinkEnd {
    /// The client has violated the protocol.
    fn violated(error: LinkError) -> Self {
        debug!(%error, "a link is closed: its client violates the protocol");
        Self::GoAway {
            reason: error.reason(),
            text: error.to_string(),
        }
    }
}

/// Now, as requests count time.
fn now() -> Deadline {
    Deadline::after(Duration::ZERO)
}
