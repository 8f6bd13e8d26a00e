//! The one task of a link that was opened: it reads answers, and writes what calls have encoded.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::answer_intake::{AnswerFrame, AnswerIntake};
use super::called_link::CalledLink;
use super::link_silence::{LOOK_INTERVAL, LinkSilence, LinkTraffic, SilenceStep};
use super::open_link::OpenedLink;
use super::pending_call::LinkEnding;
use crate::environment::{Deadline, Environment, Timestamp};
use crate::route::link::link_io::{IoEvent, IoMode, LinkIo};
use crate::route::link::seldom::{Alarm, Seldom, alarm};
use crate::route::link::{Decoded, Decoder, GoAwayReason, HEADER_BYTES};

/// A link without a call for this long is closed.
const IDLE_TIME: Duration = Duration::from_secs(300);
/// A deadline is noticed at most this long after it has passed: a timer for each costs more.
const SWEEP_INTERVAL: Duration = Duration::from_millis(10);
/// The time for the last word.
const LAST_WORD_TIME: Duration = Duration::from_millis(100);

/// An event on a link that was opened.
enum CalledLinkEvent {
    /// The client is closed.
    Closed,
    Look,
    /// Deadlines are to be looked at.
    Sweep,
    Io(IoEvent),
}

/// Why a link ends.
enum CalledLinkEnd {
    Broken(String),
    /// The peer does not answer.
    Dead(String),
    /// The peer has this word.
    GoAway {
        reason: GoAwayReason,
        text: String,
    },
}

/// Drives a link.
struct CallingDriver {
    environment: Environment,
    link: Arc<CalledLink>,
    io: LinkIo,
    decoder: Decoder,
    buffer: BytesMut,
    intake: AnswerIntake,
    silence: LinkSilence,
    read: u64,
    /// The bytes that had been read at the last look.
    read_before: u64,
    /// Polls those that follow.
    seldom: Seldom,
    closed: Alarm,
    look: Alarm,
    sweep: Alarm,
    idle_since: Timestamp,
    uses: u64,
    is_closing: bool,
    /// Whether the peer may have asked more than it reads answers.
    may_be_backed_up: bool,
}

/// Drives a link that was opened to its end, and ends its calls.
pub(super) async fn drive(
    environment: &Environment,
    link: &Arc<CalledLink>,
    opened: OpenedLink,
    closed: &CancellationToken,
) {
    let mut driver = CallingDriver {
        environment: environment.clone(),
        link: Arc::clone(link),
        io: LinkIo::new(opened.transport),
        decoder: opened.decoder,
        buffer: opened.unread,
        intake: AnswerIntake::new(),
        silence: LinkSilence::default(),
        read: 0,
        read_before: 0,
        seldom: Seldom::new(),
        closed: Box::pin(closed.clone().cancelled_owned()),
        look: alarm(environment, LOOK_INTERVAL),
        sweep: alarm(environment, LOOK_INTERVAL),
        idle_since: environment.now(),
        uses: 0,
        is_closing: false,
        may_be_backed_up: false,
    };
    link.open(opened.limits);
    driver.sweep();
    let mut ended = driver.read().err();
    while ended.is_none() {
        let event = driver.next().await;
        ended = driver.handle(event).err();
    }
    let ending = match ended {
        Some(CalledLinkEnd::GoAway { reason, text }) => {
            debug!(reason = %text, "a link to a peer is closed");
            link.go_away(reason, &text);
            driver.flush().await;
            LinkEnding::of(reason, text)
        }
        Some(CalledLinkEnd::Broken(text)) => {
            debug!(reason = %text, "a link to a peer has ended");
            LinkEnding::Lost(text)
        }
        Some(CalledLinkEnd::Dead(text)) => {
            debug!(reason = %text, "a link to a peer has ended");
            LinkEnding::Dead(text)
        }
        None => LinkEnding::Lost(String::new()),
    };
    link.end(ending);
}

impl CallingDriver {
    /// Waits for what happens next.
    async fn next(&mut self) -> CalledLinkEvent {
        self.may_be_backed_up = self.may_be_backed_up && self.link.is_backed_up();
        let mode = IoMode {
            reads: !self.may_be_backed_up,
            reports_flush: self.may_be_backed_up,
        };
        let Self {
            link,
            io,
            buffer,
            seldom,
            closed,
            look,
            sweep,
            ..
        } = self;
        poll_fn(|cx| {
            let alarm = seldom.poll(cx, |cx| {
                if closed.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(CalledLinkEvent::Closed);
                }
                if look.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(CalledLinkEvent::Look);
                }
                sweep.as_mut().poll(cx).map(|()| CalledLinkEvent::Sweep)
            });
            if alarm.is_ready() {
                return alarm;
            }
            io.poll(cx, &**link, mode, buffer).map(CalledLinkEvent::Io)
        })
        .await
    }

    /// Decides. An error ends the link.
    fn handle(&mut self, event: CalledLinkEvent) -> Result<(), CalledLinkEnd> {
        match event {
            CalledLinkEvent::Closed => {
                return Err(CalledLinkEnd::goes_away(GoAwayReason::Shutdown));
            }
            CalledLinkEvent::Look => self.look()?,
            CalledLinkEvent::Io(IoEvent::Read(bytes)) => {
                self.read += bytes as u64;
                self.read()?;
            }
            CalledLinkEvent::Sweep => self.sweep(),
            CalledLinkEvent::Io(IoEvent::Attention) => {
                self.link.release_sent();
                self.sweep();
            }
            CalledLinkEvent::Io(IoEvent::Flushed | IoEvent::Written) => {}
            CalledLinkEvent::Io(IoEvent::Ended(Ok(()))) => {
                let text = "the peer has closed it";
                return Err(CalledLinkEnd::Broken(text.to_owned()));
            }
            CalledLinkEvent::Io(IoEvent::Ended(Err(error))) => {
                return Err(CalledLinkEnd::Broken(error.to_string()));
            }
        }
        match self.is_closing && !self.link.has_unanswered() {
            true => Err(CalledLinkEnd::Broken("it was closed".to_owned())),
            false => Ok(()),
        }
    }

    /// Ends the calls whose deadlines have passed.
    fn sweep(&mut self) {
        let now = Deadline::after(Duration::ZERO);
        let (soonest, latest) = (now.later(SWEEP_INTERVAL), now.later(LOOK_INTERVAL));
        let next = self.link.sweep(now, soonest, latest);
        self.sweep = alarm(&self.environment, next.remaining());
        self.seldom.note_new();
    }

    /// Takes all frames that are there whole.
    fn read(&mut self) -> Result<(), CalledLinkEnd> {
        let mut taken = 0;
        let failed = loop {
            let rest = self.buffer.get(taken..).unwrap_or_default();
            match self.intake.take_plain(&self.link, rest) {
                Ok(0) => {}
                Ok(bytes) => {
                    taken += bytes;
                    continue;
                }
                Err(error) => break Some(error),
            }
            let (frame, bytes) = match self.decoder.decode(rest) {
                Ok(Decoded::Frame { frame, bytes }) => (frame, bytes),
                Ok(Decoded::Skipped { bytes }) => {
                    taken += bytes;
                    continue;
                }
                Ok(Decoded::Incomplete { .. }) => break None,
                Err(error) => break Some(error),
            };
            taken += bytes;
            match self.intake.take(&self.link, frame, bytes - HEADER_BYTES) {
                Ok(AnswerFrame::Frame) => {}
                Ok(AnswerFrame::Ping) => self.may_be_backed_up = true,
                Ok(AnswerFrame::GoAway) => self.is_closing = true,
                Err(error) => break Some(error),
            }
        };
        let completed = self.intake.complete(&self.link);
        match taken == self.buffer.len() {
            // This keeps its room.
            true => self.buffer.clear(),
            false => self.buffer.advance(taken),
        }
        match failed.map_or(completed, Err) {
            Ok(()) => Ok(()),
            Err(error) => Err(CalledLinkEnd::GoAway {
                reason: error.reason(),
                text: error.to_string(),
            }),
        }
    }

    /// Looks whether the peer is there, and whether the link is of use.
    fn look(&mut self) -> Result<(), CalledLinkEnd> {
        self.look = alarm(&self.environment, LOOK_INTERVAL);
        self.seldom.note_new();
        if self.read == std::mem::replace(&mut self.read_before, self.read) {
            self.io.expect_little(&mut self.buffer);
            self.intake.release_room();
            self.link.release_room();
        }
        self.link.pass_absent();
        let seen = LinkTraffic {
            read: self.read,
            written: self.io.written(),
            owes_answers: self.link.has_unanswered(),
            is_blocked: self.io.is_blocked(),
        };
        match self.silence.look(seen) {
            SilenceStep::Nothing => {}
            SilenceStep::Ask => self.link.ping(),
            SilenceStep::Dead => {
                return Err(CalledLinkEnd::Dead("the peer does not answer".to_owned()));
            }
        }
        let now = self.environment.now();
        let uses = self.link.uses();
        if uses != std::mem::replace(&mut self.uses, uses) || self.link.has_calls() {
            self.idle_since = now;
        } else if now >= self.idle_since + IDLE_TIME && self.link.close_unused(uses) {
            return Err(CalledLinkEnd::goes_away(GoAwayReason::Idle));
        }
        Ok(())
    }

    /// Writes the last word, if the socket takes it.
    async fn flush(&mut self) {
        let mode = IoMode {
            reads: false,
            reports_flush: true,
        };
        let Self {
            environment,
            link,
            io,
            buffer,
            ..
        } = self;
        let flushing = async {
            loop {
                match poll_fn(|cx| io.poll(cx, &**link, mode, buffer)).await {
                    IoEvent::Flushed | IoEvent::Ended(_) => return,
                    IoEvent::Read(_) | IoEvent::Written | IoEvent::Attention => {}
                }
            }
        };
        environment.timeout(LAST_WORD_TIME, flushing).await;
    }
}

impl CalledLinkEnd {
    fn goes_away(reason: GoAwayReason) -> Self {
        Self::GoAway {
            reason,
            text: reason.to_string(),
        }
    }
}
