//! Takes the frames of a peer: answers are gathered, so that the link is locked once for all that
//! came together.

use bytes::Bytes;

use super::called_link::CalledLink;
use super::calling_state::Leftovers;
use super::pending_call::ReadAnswer;
use super::reply_type::ReplyType;
use crate::message::Payload;
use crate::route::link::serving::TYPES;
use crate::route::link::{
    CreditFrame, FrameContent, FrameKind, InternedTexts, LinkError, LinkFrame, PlainReply,
    ReplyFrame,
};

/// Room for more answers than this is not kept by a link on which nothing happens.
const MAX_IDLE_ANSWERS: usize = 64;

/// The state that is kept from one read to the next.
pub(super) struct AnswerIntake {
    types: InternedTexts<ReplyType>,
    answers: Vec<(u64, u64, ReadAnswer)>,
    left: Leftovers,
}

/// The consequence of a frame for the link.
pub(super) enum AnswerFrame {
    Frame,
    /// It was answered.
    Ping,
    /// The peer takes no further requests.
    GoAway,
}

impl AnswerIntake {
    pub(super) fn new() -> Self {
        Self {
            types: InternedTexts::new(TYPES),
            answers: Vec::new(),
            left: Leftovers::default(),
        }
    }

    /// Takes the short replies at the beginning of the buffer. Returns their bytes.
    pub(super) fn take_plain(
        &mut self,
        link: &CalledLink,
        buffer: &[u8],
    ) -> Result<usize, LinkError> {
        if !self.answers.is_empty() && PlainReply::read(buffer).is_some() {
            // They came before.
            self.complete(link)?;
        }
        link.take_plain(buffer, &mut self.types, &mut self.left)
    }

    /// Takes a frame, which has so many bytes behind its header.
    pub(super) fn take(
        &mut self,
        link: &CalledLink,
        frame: LinkFrame<'_>,
        length: usize,
    ) -> Result<AnswerFrame, LinkError> {
        match frame {
            LinkFrame::Reply(reply) => self.take_reply(reply, length)?,
            LinkFrame::Chunk(chunk) => {
                let answer = ReadAnswer::Chunk {
                    bytes: Bytes::copy_from_slice(chunk.bytes),
                    is_last: chunk.is_last,
                };
                self.answers.push((chunk.sequence, 0, answer));
            }
            LinkFrame::Error(error) => {
                let answer = ReadAnswer::Error(error.to_error());
                self.answers.push((error.sequence, 0, answer));
            }
            LinkFrame::Credit(CreditFrame::Link { requests, bytes }) => {
                link.add_credit(requests, bytes)?;
            }
            LinkFrame::Credit(CreditFrame::Ticket { sequence, .. }) => link.ticket(sequence),
            LinkFrame::Ping(ping) => {
                link.pong(ping.0);
                return Ok(AnswerFrame::Ping);
            }
            LinkFrame::Pong(_) => {}
            LinkFrame::GoAway(away) => {
                link.gone_away(away.last_sequence, away.reason);
                return Ok(AnswerFrame::GoAway);
            }
            // The decoder lets none of these come.
            LinkFrame::Hello(_) => return Err(LinkError::UnexpectedKind(FrameKind::Hello)),
            LinkFrame::Request(_) | LinkFrame::Rejected(_) => {
                return Err(LinkError::UnexpectedKind(FrameKind::Request));
            }
            LinkFrame::Cancel(_) => return Err(LinkError::UnexpectedKind(FrameKind::Cancel)),
        }
        Ok(AnswerFrame::Frame)
    }

    fn take_reply(&mut self, reply: ReplyFrame<'_>, length: usize) -> Result<(), LinkError> {
        let resolved = self.types.resolve(reply.message_type, ReplyType::new)?;
        let wire_name = resolved.get().name();
        let (credit, answer) = match reply.content {
            FrameContent::Whole(bytes) => {
                let payload = Payload::shared(wire_name, Bytes::copy_from_slice(bytes));
                (length, ReadAnswer::Reply(payload))
            }
            FrameContent::Chunked { .. } => {
                let total = reply.content.message_bytes();
                (length + total, ReadAnswer::Beginning { wire_name, total })
            }
        };
        let credit = u64::try_from(credit).unwrap_or(u64::MAX);
        self.answers.push((reply.sequence, credit, answer));
        Ok(())
    }

    /// Nothing happens on the link: room for many answers is released.
    pub(super) fn release_room(&mut self) {
        if self.answers.capacity() > MAX_IDLE_ANSWERS {
            self.answers = Vec::new();
            self.left = Leftovers::default();
        }
    }

    /// Brings the answers that were gathered to their calls.
    pub(super) fn complete(&mut self, link: &CalledLink) -> Result<(), LinkError> {
        match self.answers.is_empty() {
            true => Ok(()),
            false => link.complete(self.answers.drain(..), &mut self.left),
        }
    }
}
