//! The errors of the other side for which a link is closed.

use std::fmt;

use super::frame_kind::FrameKind;
use super::go_away_reason::GoAwayReason;

/// An error of the other side for which the link must be closed. Its text goes into the `GoAway`;
/// it holds no names and no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkError {
    /// The first frame, of this kind, is not a `Hello`.
    NotHello(u8),
    /// A critical frame of a kind that is not known, or a frame whose fields overrun it.
    UnknownKind(u8),
    /// A frame that the other side must never send, or not a second time.
    UnexpectedKind(FrameKind),
    FrameTooLarge {
        /// The bytes behind the header.
        length: usize,
        /// The bytes of the optional fields.
        fields: usize,
    },
    /// The frame ends within its fixed or optional fields.
    FrameTooShort(FrameKind),
    /// The lengths of optional fields do not add up, or one that may occur once occurs twice.
    Fields(FrameKind),
    /// A critical field that is not known.
    UnknownField {
        kind: FrameKind,
        tag: u8,
    },
    /// A text is not UTF-8, or is over its limit.
    Text(FrameKind),
    /// The number of a reference and the text beside it do not agree.
    Reference {
        kind: FrameKind,
        number: u32,
    },
    /// The body contradicts the flags or the announced length.
    Content(FrameKind),
    /// A fixed field has a value that is not allowed.
    Value(FrameKind),
    /// A sequence number that is missing, superfluous, or out of order.
    Sequence {
        kind: FrameKind,
        sequence: u64,
    },
    /// No text is remembered under this id.
    UnknownText(u32),
    /// An id beyond the announced number of texts.
    TooManyTexts(u32),
    /// The remembered texts would have this many bytes.
    TooManyTextBytes(usize),
    /// More was sent than the credit allowed.
    CreditExceeded,
    /// A limit that a `Hello` announces is not allowed.
    HelloLimit(&'static str),
    /// The versions that the other side speaks.
    Version {
        oldest: u16,
        newest: u16,
    },
    /// The features that one side requires and the other one lacks.
    Feature(u64),
    Namespace,
    Incarnation,
    /// The client has a link of this generation or a newer one.
    Generation,
}

impl LinkError {
    /// Returns the reason for the `GoAway`.
    pub(crate) const fn reason(self) -> GoAwayReason {
        match self {
            Self::FrameTooLarge { .. } => GoAwayReason::FrameSize,
            Self::UnknownText(_) | Self::TooManyTexts(_) | Self::TooManyTextBytes(_) => {
                GoAwayReason::Reference
            }
            Self::CreditExceeded => GoAwayReason::FlowControl,
            Self::Version { .. } => GoAwayReason::Version,
            // A side that marks a field as critical requires a feature.
            Self::Feature(_)
            | Self::UnknownField {
                kind: FrameKind::Hello,
                ..
            } => GoAwayReason::Feature,
            Self::Namespace => GoAwayReason::Namespace,
            Self::Incarnation => GoAwayReason::Incarnation,
            Self::Generation => GoAwayReason::Replaced,
            Self::NotHello(_)
            | Self::UnknownKind(_)
            | Self::UnexpectedKind(_)
            | Self::FrameTooShort(_)
            | Self::Fields(_)
            | Self::UnknownField { .. }
            | Self::Text(_)
            | Self::Reference { .. }
            | Self::Content(_)
            | Self::Value(_)
            | Self::Sequence { .. }
            | Self::HelloLimit(_) => GoAwayReason::Protocol,
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHello(kind) => write!(f, "the first frame is of kind {kind:#04x}"),
            Self::UnknownKind(kind) => write!(f, "a frame of the unknown kind {kind:#04x}"),
            Self::UnexpectedKind(kind) => write!(f, "a {kind:?} is not expected"),
            Self::FrameTooLarge { length, fields } => {
                write!(f, "a frame of {length} bytes with {fields} bytes of fields")
            }
            Self::FrameTooShort(kind) => write!(f, "a {kind:?} is too short"),
            Self::Fields(kind) => write!(f, "the fields of a {kind:?} are malformed"),
            Self::UnknownField { kind, tag } => {
                write!(
                    f,
                    "the critical field {tag:#04x} of a {kind:?} is not known"
                )
            }
            Self::Text(kind) => write!(f, "a text of a {kind:?} is too long or not UTF-8"),
            Self::Reference { kind, number } => {
                write!(f, "the reference {number:#010x} of a {kind:?} is malformed")
            }
            Self::Content(kind) => write!(f, "the body of a {kind:?} is not what it announces"),
            Self::Value(kind) => write!(f, "a value of a {kind:?} is not allowed"),
            Self::Sequence { kind, sequence } => {
                write!(f, "a {kind:?} has the sequence number {sequence}")
            }
            Self::UnknownText(id) => write!(f, "no text is interned as {id}"),
            Self::TooManyTexts(id) => write!(f, "{id} is beyond the interned texts"),
            Self::TooManyTextBytes(bytes) => {
                write!(f, "the interned texts would have {bytes} bytes")
            }
            Self::CreditExceeded => f.write_str("more was sent than there was credit for"),
            Self::HelloLimit(limit) => write!(f, "the limit {limit} is not allowed"),
            Self::Version { oldest, newest } => {
                write!(f, "versions {oldest} to {newest} are not spoken here")
            }
            Self::Feature(bits) => write!(f, "the required features {bits:#x} are missing"),
            Self::Namespace => f.write_str("the namespace is another one"),
            Self::Incarnation => f.write_str("the process is another one"),
            Self::Generation => f.write_str("there is a link of a newer generation"),
        }
    }
}

impl std::error::Error for LinkError {}
