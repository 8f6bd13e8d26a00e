//! One call over a link.

use std::future::poll_fn;

use super::called_link::CalledLink;
use super::pending_call::LinkOutcome;
use crate::message::{Body, Payload};
use crate::route::call::Call;
use crate::route::link::MAX_BODY_BYTES;
use crate::route::slab::SlabKey;

/// Brings a call over a link, and its outcome back. Its first poll decides about its place in the
/// order of the calls.
///
/// # Cancel safety
///
/// Dropped, it cancels the request; `call.executed` says what that may have done.
pub(super) async fn call(link: &CalledLink, call: &mut Call) -> LinkOutcome {
    // Before its turn comes: it takes long.
    if let Some(Body::Value(value)) = &call.body
        && value.encoded_len() > MAX_BODY_BYTES
    {
        let payload = Payload::new(value.wire_name().to_owned(), value.encode());
        call.body = Some(Body::Encoded(payload));
    }
    let mut pending = LinkCall {
        link,
        call,
        key: None,
    };
    poll_fn(|cx| {
        let LinkCall { link, call, key } = &mut pending;
        link.poll_call(key, call, cx)
    })
    .await
}

/// A call that has not returned.
struct LinkCall<'a> {
    link: &'a CalledLink,
    call: &'a mut Call,
    /// None before it has come to the link, and when it has returned.
    key: Option<SlabKey>,
}

impl Drop for LinkCall<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.call.executed = self.link.abandon(key, &self.call.receiver);
        }
    }
}
