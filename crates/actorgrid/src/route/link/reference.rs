//! References to texts: a text that is written out, one that is written out and remembered, or the
//! id of one that is remembered.

use super::fields::read_text;
use super::frame_kind::FrameKind;
use super::interned_id::{DEFINES, InternedId};
use super::link_error::LinkError;

/// A text in a frame: the name of a receiver, or of a message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextReference<'a> {
    /// The text, which is not remembered.
    Inline(&'a str),
    /// The text, which the receiver remembers under this id from now on.
    Define(InternedId, &'a str),
    /// The text that the receiver remembers under this id.
    Interned(InternedId),
}

impl<'a> TextReference<'a> {
    /// Returns its number among the fixed fields.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Inline(_) => 0,
            Self::Define(id, _) => id.get() | DEFINES,
            Self::Interned(id) => id.get(),
        }
    }

    /// Returns the place of a text that the receiver remembers from now on.
    pub(crate) fn place(self) -> Option<usize> {
        match self {
            Self::Inline(_) => None,
            Self::Define(id, _) | Self::Interned(id) => Some(id.index()),
        }
    }

    /// Returns the text if it is written out: then the frame has a field for it.
    pub(super) const fn text(self) -> Option<&'a str> {
        match self {
            Self::Inline(text) | Self::Define(_, text) => Some(text),
            Self::Interned(_) => None,
        }
    }

    /// Reads a reference from its number among the fixed fields and the optional field with its
    /// text.
    pub(super) fn read(
        number: u32,
        field: Option<&'a [u8]>,
        limit: usize,
        kind: FrameKind,
    ) -> Result<Self, LinkError> {
        let text = match field {
            Some(value) => Some(read_text(value, limit, kind)?),
            None => None,
        };
        let reference = match (number, text) {
            (0, Some(text)) => Some(Self::Inline(text)),
            (_, Some(text)) if number & DEFINES != 0 => {
                InternedId::new(number & !DEFINES).map(|id| Self::Define(id, text))
            }
            (_, None) => InternedId::new(number).map(Self::Interned),
            _ => None,
        };
        reference.ok_or(LinkError::Reference { kind, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_field_must_agree() {
        let read = |number, field: Option<&'static str>| {
            let field = field.map(str::as_bytes);
            TextReference::read(number, field, 4, FrameKind::Request)
        };
        let id = InternedId::new(5).unwrap();
        assert_eq!(read(0, Some("text")), Ok(TextReference::Inline("text")));
        assert_eq!(read(0, Some("")), Ok(TextReference::Inline("")));
        assert_eq!(
            read(DEFINES | 5, Some("text")),
            Ok(TextReference::Define(id, "text"))
        );
        assert_eq!(read(5, None), Ok(TextReference::Interned(id)));
        for (number, field) in [
            (0, None),
            (5, Some("text")),
            (DEFINES, Some("text")),
            (DEFINES | 5, None),
            (DEFINES, None),
        ] {
            let kind = FrameKind::Request;
            assert_eq!(
                read(number, field),
                Err(LinkError::Reference { kind, number })
            );
        }
        assert_eq!(
            read(0, Some("texts")),
            Err(LinkError::Text(FrameKind::Request))
        );
    }
}
