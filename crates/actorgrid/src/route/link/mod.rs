//! The link: the route between two processes of this library, as `docs/link-protocol.md` specifies
//! it.
//!
//! [`serving`] and [`calling`] are its sides. Both encode straight into the send buffer of the link
//! ([`outbox`]), and one task drives its socket ([`link_io`]).
//!
//! The other files define the bytes, and are pure: no I/O, no clock, no task. A [`Decoder`] finds
//! the frames in a buffer. A frame borrows from that buffer, so decoding allocates nothing. Each
//! frame appends itself to a send buffer. Texts that repeat are interned: an [`Interner`] decides
//! how a sender encodes one, and [`InternedTexts`] holds the ones that a receiver remembers.

mod agreement;
#[cfg(any(test, fuzzing))]
pub(crate) mod any_bytes;
pub(in crate::route) mod calling;
mod chunk;
mod content;
mod control;
mod credit;
mod decoder;
mod error;
mod fields;
mod frame;
mod frame_kind;
mod go_away;
mod go_away_reason;
mod greeting;
mod header;
mod header_fields;
mod hello;
mod interned_id;
mod interned_texts;
mod interner;
mod limits;
mod link_error;
mod link_io;
mod open_frame;
mod outbox;
mod plain_reply;
mod reference;
mod reply;
mod request;
mod seldom;
pub(in crate::route) mod serving;
mod side;
#[cfg(test)]
mod tests;
mod token_bytes;
mod versions;

pub(crate) use agreement::agree;
pub(crate) use chunk::ChunkFrame;
pub(crate) use content::FrameContent;
pub(crate) use control::{CancelFrame, CreditFrame, PingFrame, PongFrame};
pub(crate) use decoder::{Decoded, Decoder};
pub(crate) use error::ErrorFrame;
pub(crate) use frame::LinkFrame;
pub(crate) use frame_kind::FrameKind;
pub(crate) use go_away::GoAwayFrame;
pub(crate) use go_away_reason::GoAwayReason;
pub(crate) use greeting::{GREETING, Sniffed, sniff};
pub(crate) use header::HEADER_BYTES;
pub(crate) use header_fields::HeaderFields;
pub(crate) use hello::{ClientIdentity, HelloFrame, HelloLimits, InternLimits, LinkVersions};
#[cfg(test)]
pub(crate) use interned_id::InternedId;
pub(crate) use interned_texts::InternedTexts;
pub(crate) use interner::Interner;
pub(crate) use limits::{MAX_BODY_BYTES, MAX_LENGTH, MAX_RECEIVER_BYTES, MAX_TYPE_BYTES};
pub(crate) use link_error::LinkError;
#[cfg(test)]
pub(crate) use open_frame::FrameTooLarge;
pub(crate) use plain_reply::{MAX_PLAIN_BYTES, PlainReply};
pub(crate) use reference::TextReference;
pub(crate) use reply::ReplyFrame;
#[cfg(test)]
pub(crate) use request::RequestFlaw;
pub(crate) use request::{RejectedRequest, RequestFrame};
pub(crate) use side::LinkSide;
pub(crate) use versions::{LINK_VERSIONS, announced_link};
