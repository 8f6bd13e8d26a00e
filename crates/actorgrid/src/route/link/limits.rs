//! The limits of a frame's parts.

use crate::name::MAX_NAME_LEN;

/// The largest body of a frame: a larger message is sent in chunks of this size, between which
/// other frames are sent. A payload of 64 KiB fits with its envelope: it is what many programs send
/// at a time.
pub(crate) const MAX_BODY_BYTES: usize = 65 * 1024;

/// The most bytes of the optional fields of a frame: the names of receiver and type, and all
/// headers that a request may have, fit with room for fields of later versions.
pub(super) const MAX_FIELDS_BYTES: usize = 16 * 1024;

/// The most bytes of the fixed fields of any kind, those of later versions included.
pub(super) const MAX_FIXED_BYTES: usize = 256;

/// The largest length that a frame's header may state.
pub(crate) const MAX_LENGTH: usize = MAX_FIXED_BYTES + MAX_FIELDS_BYTES + MAX_BODY_BYTES;

/// The longest name of a receiver.
pub(crate) const MAX_RECEIVER_BYTES: usize = MAX_NAME_LEN;

/// The longest name of a message type. Types of protobuf and of Go packages have tens of bytes.
pub(crate) const MAX_TYPE_BYTES: usize = 4 * 1024;

/// The largest detail of an error with the name of its type, as on every route.
pub(super) const MAX_DETAIL_BYTES: usize = 8 * 1024;
