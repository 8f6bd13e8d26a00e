//! The headers of a request as optional fields, one each.

use std::fmt;

use bytes::BytesMut;

use super::fields::{Field, Fields};
use super::open_frame::OpenFrame;
use crate::route::headers::{Headers, MAX_HEADER_BYTES, MAX_HEADERS, is_header_name};

/// The tag of a header.
pub(super) const HEADER_TAG: u8 = 0x04;

/// The headers of a request, to be written or as they were read.
#[derive(Clone, Copy, Default)]
pub(crate) struct HeaderFields<'a> {
    /// All optional fields of the frame. The headers among them were checked.
    received: Fields<'a>,
    to_send: Option<&'a Headers>,
}

impl<'a> HeaderFields<'a> {
    /// Wraps headers to send.
    pub(crate) const fn of(headers: Option<&'a Headers>) -> Self {
        Self {
            received: Fields::NONE,
            to_send: headers,
        }
    }

    /// Wraps the headers among these fields, which a [`HeaderCheck`] has passed.
    pub(super) const fn received(fields: Fields<'a>) -> Self {
        Self {
            received: fields,
            to_send: None,
        }
    }

    /// Iterates over names and values, in the order in which they were added.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let received = self.received.filter(|field| field.tag == HEADER_TAG);
        let received = received.filter_map(|field| read_header(field.value));
        received.chain(self.to_send.into_iter().flat_map(Headers::iter))
    }

    /// Whether there are certainly none.
    pub(super) const fn is_empty(self) -> bool {
        self.to_send.is_none() && self.received.is_empty()
    }

    pub(super) fn put(self, frame: &mut OpenFrame, buffer: &mut BytesMut) {
        for (name, value) in self.iter() {
            // Headers have at most 8 KiB together.
            let length = u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes();
            let parts: [&[u8]; 3] = [&length, name.as_bytes(), value.as_bytes()];
            frame.field(buffer, HEADER_TAG, &parts);
        }
    }
}

impl PartialEq for HeaderFields<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// Without names and values, which may be confidential.
impl fmt::Debug for HeaderFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} headers", self.iter().count())
    }
}

/// Reads the name and the value in a field.
fn read_header(value: &[u8]) -> Option<(&str, &str)> {
    let (length, rest) = value.split_first_chunk()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (name, value) = rest.split_at_checked(length)?;
    Some((
        std::str::from_utf8(name).ok()?,
        std::str::from_utf8(value).ok()?,
    ))
}

/// Checks the headers of a request, one by one.
#[derive(Debug, Default)]
pub(super) struct HeaderCheck {
    headers: usize,
    bytes: usize,
}

impl HeaderCheck {
    /// Returns whether this header is valid, and within the limits with all before it.
    pub(super) fn allows(&mut self, field: Field<'_>) -> bool {
        let Some((name, value)) = read_header(field.value) else {
            return false;
        };
        self.headers += 1;
        self.bytes += name.len() + value.len();
        is_header_name(name) && self.headers <= MAX_HEADERS && self.bytes <= MAX_HEADER_BYTES
    }
}
