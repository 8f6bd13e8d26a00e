//! Implements messages of this library by means of generated protobuf types.

/// Implements `Message` for a type by converting it to and from a generated type.
macro_rules! as_generated {
    (
        $message:ty, $wire_name:literal, $reply:ty,
        |$this:ident| $to:expr,
        |$read:ident: $generated:ty| $from:expr
    ) => {
        impl $crate::message::Message for $message {
            type Reply = $reply;
            const WIRE_NAME: &'static str = $wire_name;

            fn encoded_len(&self) -> usize {
                let $this = self;
                <$generated as prost::Message>::encoded_len(&$to)
            }

            fn encode(&self, buffer: &mut bytes::BytesMut) {
                let $this = self;
                // A `BytesMut` grows: encoding into it cannot run out of room.
                <$generated as prost::Message>::encode_raw(&$to, buffer);
            }

            fn decode(
                _wire_name: &str,
                bytes: bytes::Bytes,
            ) -> Result<Self, $crate::message::DecodeError> {
                let $read = <$generated as prost::Message>::decode(bytes)
                    .map_err($crate::message::DecodeError::new)?;
                $from
            }

            fn decode_from(
                _wire_name: &str,
                bytes: &[u8],
            ) -> Result<Self, $crate::message::DecodeError> {
                let $read = <$generated as prost::Message>::decode(bytes)
                    .map_err($crate::message::DecodeError::new)?;
                $from
            }
        }
    };
}

pub(super) use as_generated;
