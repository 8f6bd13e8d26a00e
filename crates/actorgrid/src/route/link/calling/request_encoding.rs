//! Encodes requests straight into the send buffer of a link.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::calling_state::{CallingState, PLACE_BITS};
use super::pending_call::CallStage;
use crate::error::{RequestError, RequestErrorKind};
use crate::message::BodyRef;
use crate::route::call::LinkRequest;
use crate::route::link::{
    FrameContent, HEADER_BYTES, HeaderFields, Interner, MAX_BODY_BYTES, RequestFrame, TextReference,
};
use crate::route::slab::SlabKey;

impl CallingState {
    /// Encodes a request whose message has this length. There must be credit for it.
    #[inline]
    pub(super) fn encode(
        &mut self,
        key: SlabKey,
        request: &LinkRequest<'_>,
        length: usize,
        time_left: Duration,
    ) -> Result<(), RequestError> {
        let Self {
            names,
            types,
            outbox,
            calls,
            credit,
            sequences,
            ..
        } = self;
        let is_large = length > MAX_BODY_BYTES;
        let sequence = (*sequences + 1) << PLACE_BITS | u64::from(key.index);
        let receiver = receiver_reference(names, request);
        let message_type = types.reference(request.wire_name);
        let frame = RequestFrame {
            sequence,
            is_from_handler: request.from_handler,
            time_left_ms: millis_up(time_left),
            id: request.id,
            token: request.token,
            receiver,
            message_type,
            headers: HeaderFields::of(request.headers),
            content: match is_large {
                true => FrameContent::Chunked {
                    bytes: u32::try_from(length).unwrap_or(u32::MAX),
                },
                false => FrameContent::Whole(&[]),
            },
        };
        let data = outbox.data();
        let start = data.len();
        let is_intact;
        let finished = if let Some(head) = frame.plain_head(length) {
            data.reserve(head.len() + length);
            data.extend_from_slice(&head);
            let body_start = data.len();
            let message = encode_message(request.body, data, length);
            is_intact = data.len() >= body_start;
            message
        } else {
            let open = frame.begin(data, if is_large { 0 } else { length });
            let body_start = data.len();
            let message = encode_message(request.body, data, length);
            // Before it is finished: a frame that does not fit is discarded.
            is_intact = data.len() >= body_start;
            message.filter(|_| open.finish(data).is_ok())
        };
        let Some(large) = finished else {
            match is_intact {
                true => data.truncate(start),
                // It has removed what others have written.
                false => outbox.break_off(),
            }
            names.forget(receiver);
            types.forget(message_type);
            let text = "the message cannot be encoded";
            return Err(RequestError::refused(
                RequestErrorKind::InvalidMessage,
                text,
            ));
        };
        *sequences += 1;
        let used = data.len() - start - HEADER_BYTES;
        // Never more than was checked.
        let _ = credit.spend(used as u64, request.from_handler);
        let batch = outbox.next_batch();
        if let Some(pending) = calls.get_mut(key) {
            pending.sequence = sequence;
            pending.stage = CallStage::Sent;
            pending.batch = batch;
            pending.holds = is_large;
            pending.large = large.map(Box::new);
        }
        Ok(())
    }
}

/// The reference to the receiver. It is found by a guess where many receivers take turns.
fn receiver_reference<'r>(names: &mut Interner, request: &LinkRequest<'r>) -> TextReference<'r> {
    let name = request.receiver.as_str();
    let Some(guess) = request.guess else {
        return names.reference(name);
    };
    let guessed = guess.get();
    let reference = names.reference_near(name, guessed);
    if let Some(place) = reference.place()
        && place != guessed
    {
        guess.set(place);
    }
    reference
}

/// Encodes a message of this length into the send buffer, or apart if it is large. Returns none if
/// it is not what it says: credit was checked for this length, and the peer counts the true one.
fn encode_message(body: BodyRef<'_>, data: &mut BytesMut, length: usize) -> Option<Option<Bytes>> {
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

/// The milliseconds of a time, rounded up.
fn millis_up(time: Duration) -> u32 {
    let whole = time.as_secs().saturating_mul(1000) + u64::from(time.subsec_millis());
    let whole = u32::try_from(whole).unwrap_or(u32::MAX);
    let is_more = !time.subsec_nanos().is_multiple_of(1_000_000);
    whole.saturating_add(u32::from(is_more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_rounded_up() {
        for (nanos, millis) in [
            (0, 0),
            (1, 1),
            (1_000_000, 1),
            (1_000_001, 2),
            (1_999_999_999, 2_000),
            (2_000_000_000, 2_000),
            (u64::MAX, u32::MAX),
        ] {
            assert_eq!(millis_up(Duration::from_nanos(nanos)), millis, "{nanos}");
        }
    }
}
