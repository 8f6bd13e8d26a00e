//! The parts of a request's frame that depend on its message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::message::Body;
use crate::route::call::Call;
use crate::route::link::MAX_BODY_BYTES;

/// The bytes of a request's frame beside names, headers and message: fixed fields, and the heads of
/// its optional fields.
const REQUEST_OVERHEAD_BYTES: usize = 64;
/// The bytes that a header takes beside its name and value.
const HEADER_OVERHEAD_BYTES: usize = 5;

/// Encodes a message of this length into the send buffer, or apart if it is large. Returns none if
/// it is not what it says: credit was checked for this length, and the peer counts the true one.
pub(super) fn encode_message(
    body: &Body,
    data: &mut BytesMut,
    length: usize,
) -> Option<Option<Bytes>> {
    let start = data.len();
    // Code of the message, which may panic.
    let encode = AssertUnwindSafe(|| match length > MAX_BODY_BYTES {
        true => Some(body.encode()),
        false => {
            body.encode_into(data);
            None
        }
    });
    let large = catch_unwind(encode).ok()?;
    let encoded = match &large {
        Some(large) => large.len(),
        None => data.len().checked_sub(start)?,
    };
    (encoded == length).then_some(large)
}

/// The most credit that a request can need.
pub(super) fn credit_of(call: &Call, body: &Body, length: usize) -> u64 {
    let headers = call.meta.headers.iter();
    let headers = headers.map(|(name, value)| HEADER_OVERHEAD_BYTES + name.len() + value.len());
    let message = if length > MAX_BODY_BYTES { 0 } else { length };
    let bytes = REQUEST_OVERHEAD_BYTES
        + call.receiver.as_str().len()
        + body.wire_name().len()
        + headers.sum::<usize>()
        + message;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The milliseconds of a time, rounded up.
pub(super) fn millis_up(time: Duration) -> u32 {
    let millis = time.as_nanos().div_ceil(1_000_000);
    u32::try_from(millis).unwrap_or(u32::MAX)
}
