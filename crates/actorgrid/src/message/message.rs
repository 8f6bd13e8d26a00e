//! The trait of all messages.

use bytes::{Bytes, BytesMut};

use super::decode_error::DecodeError;

/// The prefix of a wire name where the Go library is vendored; accepted in front of every name.
const VENDOR_PREFIX: &str = "github.com/lytics/lio/vendor/";

/// A protobuf value that travels between actors.
///
/// Derive it together with `prost::Message`. The derive builds the wire name from the package and
/// the type (`my-package/Job`); `#[grid(name = "...", alias = "...", reply = Done)]` overrides the
/// defaults. Without `reply` the reply type is [`Ack`](crate::Ack).
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
    /// The type of the answer to a request with this message.
    type Reply: Message;

    /// The name under which the message is sent. Empty only for [`Payload`](crate::Payload), whose
    /// values carry their own name.
    const WIRE_NAME: &'static str;

    /// Further names under which the message is accepted.
    const ALIASES: &'static [&'static str] = &[];

    /// Returns the name under which this value is sent.
    fn wire_name(&self) -> &str {
        Self::WIRE_NAME
    }

    /// Whether a message with this wire name can be decoded as this type.
    #[must_use]
    fn accepts(wire_name: &str) -> bool {
        let name = wire_name.strip_prefix(VENDOR_PREFIX).unwrap_or(wire_name);
        name == Self::WIRE_NAME || Self::ALIASES.contains(&name)
    }

    /// Returns the number of bytes that [`encode`](Self::encode) appends. If it is another number,
    /// the message is not sent, and its request fails as `InvalidMessage`.
    fn encoded_len(&self) -> usize;

    /// Appends the protobuf encoding, and leaves what is in the buffer already as it is: that
    /// belongs to other messages, which are lost otherwise.
    ///
    /// This runs while a connection is locked that others share, so it must not block and must not
    /// send requests.
    fn encode(&self, buffer: &mut BytesMut);

    /// Decodes the protobuf encoding. `wire_name` is a name that [`accepts`](Self::accepts) has
    /// accepted.
    ///
    /// # Errors
    ///
    /// Returns [`DecodeError`] if the bytes are not this message.
    fn decode(wire_name: &str, bytes: Bytes) -> Result<Self, DecodeError>;

    /// Does the same with borrowed bytes: those of a short message are in a buffer that is used
    /// again. By default they are copied and then [decoded](Self::decode); the derive decodes them
    /// in their place.
    ///
    /// # Errors
    ///
    /// Returns [`DecodeError`] if the bytes are not this message.
    fn decode_from(wire_name: &str, bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode(wire_name, Bytes::copy_from_slice(bytes))
    }
}
