//! Replies that are encoded before they are sent.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use super::waiting_replies::WaitingReply;
use crate::environment::Deadline;
use crate::error::RequestError;
use crate::route::budget::Charge;

/// The bytes of a reply's frame beside its type and its message: fixed fields, and the heads of its
/// optional fields.
const REPLY_OVERHEAD_BYTES: usize = 32;

/// A reply that is encoded.
pub(super) struct EncodedReply {
    pub(super) sequence: u64,
    /// Not taken by then, it is given up.
    pub(super) until: Deadline,
    pub(super) wire_name: String,
    pub(super) bytes: Bytes,
    pub(super) charge: Option<Charge>,
}

impl EncodedReply {
    /// The most credit that it can need.
    pub(super) fn credit(&self) -> u64 {
        credit_of(&self.wire_name, self.bytes.len())
    }
}

impl WaitingReply for EncodedReply {
    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn until(&self) -> Deadline {
        self.until
    }
}

/// The most credit that a reply can need.
pub(super) fn credit_of(wire_name: &str, length: usize) -> u64 {
    let bytes = REPLY_OVERHEAD_BYTES + wire_name.len() + length;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The encoding of a reply panicked, or is not as long as it says.
pub(super) struct Unencodable;

impl Unencodable {
    /// The error for the caller.
    pub(super) fn error() -> RequestError {
        RequestError::no_reply("the reply cannot be encoded")
    }
}

/// Encodes a reply that is so long. Its bytes were charged, and credit is spent for them.
pub(super) fn encode(encode: impl FnOnce() -> Bytes, length: usize) -> Result<Bytes, Unencodable> {
    // Code of the message, which may panic.
    let encoded = catch_unwind(AssertUnwindSafe(encode));
    let encoded = encoded.ok().filter(|bytes| bytes.len() == length);
    encoded.ok_or(Unencodable)
}
