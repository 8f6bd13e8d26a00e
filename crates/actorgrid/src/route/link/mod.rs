//! The bytes of the link, the connection between two of our own processes: bytes in, frames out.
//!
//! `docs/link-protocol.md` specifies them. Everything here is pure: no I/O, no clock, no task. A
//! [`Decoder`] finds the frames in a buffer; a frame borrows from that buffer, so reading one
//! allocates nothing (`Bytes::slice_ref` keeps a body beyond it). Each frame appends itself to a
//! send buffer. Texts that repeat are interned: an [`Interner`] decides how a sender writes one,
//! [`InternedTexts`] is what a receiver remembers.
//!
//! Credit, tickets and deadlines are decided by the code that uses this.

#![cfg_attr(
    not(any(test, fuzzing)),
    expect(dead_code, unused_imports, reason = "nothing sends these frames yet")
)]
#![cfg_attr(any(test, fuzzing), allow(dead_code, unused_imports))]

mod agreement;
#[cfg(any(test, fuzzing))]
pub(crate) mod any_bytes;
mod chunk;
mod content;
mod control;
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
mod open_frame;
mod reference;
mod reply;
mod request;
mod side;
#[cfg(test)]
mod tests;
mod token_bytes;

pub(crate) use agreement::{Agreement, agree};
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
pub(crate) use interned_id::InternedId;
pub(crate) use interned_texts::{InternedTexts, ReceivedText};
pub(crate) use interner::Interner;
pub(crate) use limits::{MAX_BODY_BYTES, MAX_LENGTH};
pub(crate) use link_error::LinkError;
pub(crate) use open_frame::{FrameTooLarge, OpenFrame};
pub(crate) use reference::TextReference;
pub(crate) use reply::ReplyFrame;
pub(crate) use request::{RejectedRequest, RequestFlaw, RequestFrame};
pub(crate) use side::LinkSide;
