//! Small frames about the link itself, or about a request in flight.

use bytes::{Buf, BufMut, BytesMut};

use super::fields::Fields;
use super::frame_kind::FrameKind;
use super::header::FrameHeader;
use super::link_error::LinkError;
use super::open_frame::{FrameTooLarge, OpenFrame};

/// Permission to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CreditFrame {
    /// Returned credit: this much more may be sent on the link.
    Link {
        /// 0 from a client, which receives no requests.
        requests: u32,
        bytes: u64,
    },
    /// The chunks of this request's message may be sent.
    Ticket {
        /// The number of the request.
        sequence: u64,
        /// The length of the message, as it was announced.
        bytes: u64,
    },
}

impl CreditFrame {
    const fn parts(self) -> (u64, u32, u64) {
        match self {
            Self::Link { requests, bytes } => (0, requests, bytes),
            Self::Ticket { sequence, bytes } => (sequence, 0, bytes),
        }
    }

    /// Appends the frame.
    ///
    /// # Errors
    ///
    /// None: it has a fixed size.
    pub(crate) fn encode(&self, buffer: &mut BytesMut) -> Result<(), FrameTooLarge> {
        let (sequence, requests, bytes) = self.parts();
        let frame = OpenFrame::begin(buffer, FrameKind::Credit, 0, sequence, 0);
        buffer.put_u32_le(requests);
        buffer.put_u64_le(bytes);
        frame.finish(buffer)
    }

    pub(super) fn read(
        header: FrameHeader,
        mut fixed: &[u8],
        fields: Fields<'_>,
    ) -> Result<Self, LinkError> {
        let short = |_| LinkError::FrameTooShort(FrameKind::Credit);
        fields.ignore(FrameKind::Credit)?;
        let requests = fixed.try_get_u32_le().map_err(short)?;
        let bytes = fixed.try_get_u64_le().map_err(short)?;
        match (header.sequence, requests, bytes) {
            // An empty frame has no use except in a flood, and a ticket is for bytes alone.
            (0, 0, 0) | (1.., 1.., _) | (1.., _, 0) => Err(LinkError::Value(FrameKind::Credit)),
            (0, requests, bytes) => Ok(Self::Link { requests, bytes }),
            (sequence, _, bytes) => Ok(Self::Ticket { sequence, bytes }),
        }
    }
}

/// The client no longer waits for the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CancelFrame {
    /// The number of the request.
    pub(crate) sequence: u64,
}

impl CancelFrame {
    /// Appends the frame.
    ///
    /// # Errors
    ///
    /// None: it has a fixed size.
    pub(crate) fn encode(&self, buffer: &mut BytesMut) -> Result<(), FrameTooLarge> {
        OpenFrame::begin(buffer, FrameKind::Cancel, 0, self.sequence, 0).finish(buffer)
    }

    pub(super) fn read(header: FrameHeader, fields: Fields<'_>) -> Result<Self, LinkError> {
        fields.ignore(FrameKind::Cancel)?;
        Ok(Self {
            sequence: header.sequence,
        })
    }
}

/// Asks the other side for a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PingFrame(pub(crate) [u8; 8]);

impl PingFrame {
    /// Appends the frame.
    ///
    /// # Errors
    ///
    /// None: it has a fixed size.
    pub(crate) fn encode(&self, buffer: &mut BytesMut) -> Result<(), FrameTooLarge> {
        encode_opaque(FrameKind::Ping, self.0, buffer)
    }

    pub(super) fn read(fixed: &[u8], fields: Fields<'_>) -> Result<Self, LinkError> {
        read_opaque(FrameKind::Ping, fixed, fields).map(Self)
    }
}

/// The answer to a [`PingFrame`], with its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PongFrame(pub(crate) [u8; 8]);

impl PongFrame {
    /// Appends the frame.
    ///
    /// # Errors
    ///
    /// None: it has a fixed size.
    pub(crate) fn encode(&self, buffer: &mut BytesMut) -> Result<(), FrameTooLarge> {
        encode_opaque(FrameKind::Pong, self.0, buffer)
    }

    pub(super) fn read(fixed: &[u8], fields: Fields<'_>) -> Result<Self, LinkError> {
        read_opaque(FrameKind::Pong, fixed, fields).map(Self)
    }
}

fn encode_opaque(
    kind: FrameKind,
    bytes: [u8; 8],
    buffer: &mut BytesMut,
) -> Result<(), FrameTooLarge> {
    let frame = OpenFrame::begin(buffer, kind, 0, 0, 0);
    buffer.put_slice(&bytes);
    frame.finish(buffer)
}

fn read_opaque(kind: FrameKind, fixed: &[u8], fields: Fields<'_>) -> Result<[u8; 8], LinkError> {
    fields.ignore(kind)?;
    fixed.try_into().map_err(|_| LinkError::FrameTooShort(kind))
}
