//! The trait of all messages.

use bytes::{Bytes, BytesMut};

use super::decode_error::DecodeError;

/// The prefix of a wire name where the Go library is vendored; accepted before every name.
const VENDOR_PREFIX: &str = "github.com/lytics/lio/vendor/";

/// A protobuf value that travels between actors.
///
/// Derive it beside `prost::Message`: the derive takes the wire name from the package and the
/// type (`my-package/Job`), and `#[grid(name = "...", alias = "...", reply = Done)]` sets others.
/// Without `reply` the answer is an [`Ack`](crate::Ack).
///
/// ```
/// #[derive(Clone, PartialEq, prost::Message, actorgrid::Message)]
/// #[grid(reply = Done, name = "shop/Job", alias = "shop/OldJob")]
/// struct Job {
///     #[prost(string, tag = "1")]
///     text: String,
/// }
///
/// #[derive(Clone, PartialEq, prost::Message, actorgrid::Message)]
/// struct Done {}
///
/// use actorgrid::Message;
/// assert_eq!(Job::default().wire_name(), "shop/Job");
/// assert!(Job::accepts("shop/OldJob"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message",
    label = "this is not an `actorgrid::Message`",
    note = "derive both on the type: `#[derive(prost::Message, actorgrid::Message)]`"
)]
pub trait Message: Send + Sized + 'static {
    /// The answer to a request with this message.
    type Reply: Message;

    /// The name under which the message is sent. Empty for [`Payload`](crate::Payload) alone, whose
    /// values carry their own.
    const WIRE_NAME: &'static str;

    /// Further names under which the message is accepted.
    const ALIASES: &'static [&'static str] = &[];

    /// The name under which this value is sent.
    fn wire_name(&self) -> &str {
        Self::WIRE_NAME
    }

    /// Whether a value of this wire name can be read as this message.
    #[must_use]
    fn accepts(wire_name: &str) -> bool {
        let name = wire_name.strip_prefix(VENDOR_PREFIX).unwrap_or(wire_name);
        name == Self::WIRE_NAME || Self::ALIASES.contains(&name)
    }

    /// The number of bytes that [`encode`](Self::encode) appends.
    fn encoded_len(&self) -> usize;

    /// Appends the protobuf encoding.
    fn encode(&self, buffer: &mut BytesMut);

    /// Reads the protobuf encoding. `wire_name` is one that [`accepts`](Self::accepts) has
    /// accepted.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are not this message.
    fn decode(wire_name: &str, bytes: Bytes) -> Result<Self, DecodeError>;
}
