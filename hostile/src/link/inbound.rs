//! Tracks what a peer has sent on one link, and what that allows and requires the client to send.

use std::collections::HashMap;
use std::time::Instant;

use bytes::{Buf as _, Bytes};

use super::frame::{LinkFrameHead, LinkFrames, link_flag, link_kind};
use super::hello::ServerLimits;

const REPLY_FIXED_BYTES: usize = 4;
const TOTAL_TAG: u8 = 0x83;

/// A request that is followed.
#[derive(Debug)]
pub(crate) struct LinkRecord {
    /// When it was granted a ticket.
    pub(crate) ticket: Option<Instant>,
    pub(crate) has_ended: bool,
    pub(crate) is_reported: bool,
}

/// The state of a link as the client knows it.
#[derive(Debug)]
pub(crate) struct LinkInbound {
    /// Whether to return the credit of replies, as an honest client does.
    returns_credit: bool,
    limits: Option<ServerLimits>,
    requests: u64,
    bytes: u64,
    /// The credit of replies that are not there as a whole.
    arriving: HashMap<u64, u64>,
    pub(crate) records: HashMap<u64, LinkRecord>,
    /// The answers so far, to requests that are followed and to others.
    pub(crate) answers: u64,
    /// The reason of a `GoAway`.
    pub(crate) reason: Option<u16>,
    pub(crate) is_closed: bool,
}

impl LinkInbound {
    pub(super) fn new(returns_credit: bool) -> Self {
        Self {
            returns_credit,
            limits: None,
            requests: 0,
            bytes: 0,
            arriving: HashMap::new(),
            records: HashMap::new(),
            answers: 0,
            reason: None,
            is_closed: false,
        }
    }

    pub(crate) fn limits(&self) -> Option<ServerLimits> {
        self.limits
    }

    /// Spends the credit of a request of this length, if that leaves the quarter that is reserved.
    pub(super) fn spend(&mut self, length: u64) -> bool {
        let Some(limits) = self.limits else {
            return false;
        };
        let least = (limits.requests / 4, limits.bytes / 4);
        let is_enough = self.requests > least.0 && self.bytes >= least.1 + length;
        if is_enough {
            self.requests -= 1;
            self.bytes -= length;
        }
        is_enough
    }

    pub(super) fn follow(&mut self, sequence: u64) {
        let record = LinkRecord {
            ticket: None,
            has_ended: false,
            is_reported: false,
        };
        self.records.insert(sequence, record);
    }

    /// Whether any of the requests that are followed has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.records.values().any(|record| record.has_ended)
    }

    /// Forgets the requests that have ended, and returns the number of the others.
    pub(crate) fn sweep(&mut self) -> usize {
        self.records.retain(|_, record| !record.has_ended);
        self.records.len()
    }

    /// Handles one frame. Frames that the client must send in return are written to `answers`.
    pub(super) fn frame(
        &mut self,
        head: LinkFrameHead,
        mut rest: Bytes,
        now: Instant,
        answers: &mut LinkFrames,
    ) {
        match head.kind {
            link_kind::HELLO => {
                self.limits = ServerLimits::read(&rest);
                if let Some(limits) = self.limits {
                    (self.requests, self.bytes) = (limits.requests, limits.bytes);
                }
            }
            link_kind::REPLY => self.reply(head, &rest, answers),
            link_kind::CHUNK if !head.has(link_flag::LAST) => {}
            link_kind::CHUNK | link_kind::ERROR => {
                let credit = self.arriving.remove(&head.sequence).unwrap_or_default();
                self.end(head.sequence, credit, answers);
            }
            link_kind::CREDIT => {
                let requests = rest.try_get_u32_le().unwrap_or_default();
                let bytes = rest.try_get_u64_le().unwrap_or_default();
                if head.sequence == 0 {
                    self.requests += u64::from(requests);
                    self.bytes += bytes;
                } else if let Some(record) = self.records.get_mut(&head.sequence) {
                    record.ticket = Some(now);
                }
            }
            link_kind::PING => drop(answers.pong(&rest)),
            link_kind::GO_AWAY => self.reason = rest.get(8..10).map(|mut of| of.get_u16_le()),
            _ => {}
        }
    }

    fn reply(&mut self, head: LinkFrameHead, rest: &Bytes, answers: &mut LinkFrames) {
        let credit = rest.len() as u64;
        if head.has(link_flag::MORE) {
            let total = total_of(head, rest);
            self.arriving.insert(head.sequence, credit + total);
        } else {
            self.end(head.sequence, credit, answers);
        }
    }

    fn end(&mut self, sequence: u64, credit: u64, answers: &mut LinkFrames) {
        self.answers += 1;
        if self.returns_credit && credit > 0 {
            answers.credit(credit);
        }
        if let Some(record) = self.records.get_mut(&sequence) {
            record.has_ended = true;
        }
    }
}

/// Reads the field *total* of a reply.
fn total_of(head: LinkFrameHead, rest: &Bytes) -> u64 {
    let fields = rest.get(REPLY_FIXED_BYTES..REPLY_FIXED_BYTES + head.fields);
    let mut fields = fields.unwrap_or_default();
    while fields.len() >= 3 {
        let tag = fields.get_u8();
        let length = usize::from(fields.get_u16_le()).min(fields.len());
        let mut value = &fields[..length];
        if tag == TOTAL_TAG {
            return value.try_get_u32_le().unwrap_or_default().into();
        }
        fields.advance(length);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credit(inbound: &mut LinkInbound, requests: u32, bytes: u64) {
        let mut rest = Vec::new();
        rest.extend(requests.to_le_bytes());
        rest.extend(bytes.to_le_bytes());
        let head = LinkFrameHead {
            kind: link_kind::CREDIT,
            flags: 0,
            fields: 0,
            sequence: 0,
        };
        let answers = &mut LinkFrames::default();
        inbound.frame(head, rest.into(), Instant::now(), answers);
    }

    #[test]
    fn a_quarter_of_the_credit_is_left_alone() {
        let mut inbound = LinkInbound::new(true);
        assert!(!inbound.spend(1), "there is no Hello yet");
        inbound.limits = Some(ServerLimits {
            bytes: 400,
            requests: 4,
            names: 0,
        });
        credit(&mut inbound, 4, 400);
        let spent: Vec<_> = (0..4).map(|_| inbound.spend(100)).collect();
        assert_eq!(spent, [true, true, true, false]);
        credit(&mut inbound, 3, 100);
        assert!(!inbound.spend(101) && inbound.spend(100));
    }

    #[test]
    fn the_credit_of_a_reply_in_chunks_is_returned_at_its_end() {
        let mut inbound = LinkInbound::new(true);
        inbound.follow(3);
        let answers = &mut LinkFrames::default();
        let head = |kind, flags, fields| LinkFrameHead {
            kind,
            flags,
            fields,
            sequence: 3,
        };
        let rest = [&[0; 4][..], &[TOTAL_TAG, 4, 0, 0, 0, 2, 0]].concat();
        let reply = head(link_kind::REPLY, link_flag::MORE, 7);
        inbound.frame(reply, rest.into(), Instant::now(), answers);
        assert_eq!(answers.len(), 0);
        let last = head(link_kind::CHUNK, link_flag::LAST, 0);
        inbound.frame(last, Bytes::new(), Instant::now(), answers);
        let mut expected = LinkFrames::default();
        expected.credit(0x0002_0000 + 11);
        assert_eq!(answers.take(), expected.take());
        assert!(inbound.records[&3].has_ended);
    }
}
