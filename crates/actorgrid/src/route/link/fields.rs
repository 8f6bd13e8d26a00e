//! Optional fields: a tag, a length and a value each. A receiver skips those that it does not know.

use super::frame_kind::FrameKind;
use super::link_error::LinkError;

/// The bytes of a field before its value: its tag, and the length of its value.
pub(super) const FIELD_HEAD_BYTES: usize = 3;

/// The bit that marks a tag as critical: a receiver that does not know the tag must not act on the
/// frame.
const CRITICAL_TAG: u8 = 0x80;

/// An optional field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) tag: u8,
    pub(super) value: &'a [u8],
}

impl Field<'_> {
    pub(super) const fn is_critical(self) -> bool {
        self.tag & CRITICAL_TAG != 0
    }
}

/// The optional fields of a frame. Their lengths are consistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) const NONE: Self = Self(&[]);

    /// Checks that the lengths of the fields add up.
    pub(super) fn new(bytes: &'a [u8], kind: FrameKind) -> Result<Self, LinkError> {
        let mut fields = Self(bytes);
        while fields.next().is_some() {}
        match fields.0.is_empty() {
            true => Ok(Self(bytes)),
            false => Err(LinkError::Fields(kind)),
        }
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Skips the fields of a kind that defines none. Fails if one of them is critical.
    pub(super) fn ignore(self, kind: FrameKind) -> Result<(), LinkError> {
        for field in self {
            reject_critical(field, kind)?;
        }
        Ok(())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let (&[tag, low, high], rest) = self.0.split_first_chunk::<FIELD_HEAD_BYTES>()?;
        let length = usize::from(u16::from_le_bytes([low, high]));
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Field { tag, value })
    }
}

/// Fails if a field that is not known is critical, in a frame that cannot be rejected alone.
pub(super) fn reject_critical(field: Field<'_>, kind: FrameKind) -> Result<(), LinkError> {
    match field.is_critical() {
        true => Err(LinkError::UnknownField {
            kind,
            tag: field.tag,
        }),
        false => Ok(()),
    }
}

/// Stores the value of a field that may occur once.
pub(super) fn set_once<'a>(
    place: &mut Option<&'a [u8]>,
    field: Field<'a>,
    kind: FrameKind,
) -> Result<(), LinkError> {
    match place.replace(field.value) {
        None => Ok(()),
        Some(_) => Err(LinkError::Fields(kind)),
    }
}

/// Reads a text of at most `limit` bytes.
pub(super) fn read_text(value: &[u8], limit: usize, kind: FrameKind) -> Result<&str, LinkError> {
    let text = std::str::from_utf8(value).ok();
    text.filter(|text| text.len() <= limit)
        .ok_or(LinkError::Text(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_read_in_order_and_must_end_where_the_last_one_does() {
        let bytes = [0x81, 2, 0, 7, 8, 0x02, 0, 0];
        let fields = Fields::new(&bytes, FrameKind::Request).unwrap();
        let read: Vec<_> = fields.map(|field| (field.tag, field.value)).collect();
        assert_eq!(read, [(0x81, &[7, 8][..]), (0x02, &[])]);
        for cut in [1, 2, 3, 4, 6, 7] {
            let cut = Fields::new(&bytes[..cut], FrameKind::Request);
            assert_eq!(cut, Err(LinkError::Fields(FrameKind::Request)));
        }
        assert!(Fields::new(&bytes[..5], FrameKind::Request).is_ok());
        assert!(Fields::new(&[], FrameKind::Request).is_ok());
    }
}
