//! Optional fields of a frame.

use bytes::BufMut as _;

/// Appends an optional field.
pub(super) fn put_field(fields: &mut Vec<u8>, tag: u8, value: &[u8]) {
    fields.put_u8(tag);
    fields.put_u16_le(value.len() as u16);
    fields.put_slice(value);
}
