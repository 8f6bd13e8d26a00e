//! The first frame of each side: its identity, the versions that it speaks, and its limits.

use std::fmt;

use bytes::{Buf, BufMut, BytesMut};

use super::fields::{Fields, read_text, reject_critical, set_once};
use super::frame_kind::FrameKind;
use super::limits::{MAX_LENGTH, MAX_RECEIVER_BYTES};
use super::link_error::LinkError;
use super::open_frame::{FrameTooLarge, OpenFrame};
use super::side::LinkSide;

const KIND: FrameKind = FrameKind::Hello;
const NAMESPACE_TAG: u8 = 0x81;
/// The least credit in bytes: the largest frame fits into the three quarters that are not reserved.
const MIN_CREDIT_BYTES: u64 = 128 * 1024;
/// The least number of requests that a server allows, so that a quarter of it is one.
const MIN_REQUESTS: u32 = 4;
/// More than most namespaces take.
const EXPECTED_FIELDS_BYTES: usize = 64;

/// The first frame of each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HelloFrame<'a> {
    /// From a client, all that it speaks; from a server, the one that it has chosen.
    pub(crate) versions: LinkVersions,
    /// The abilities of this side beyond the version, a bit each.
    pub(crate) features: u64,
    /// Those of its features that the other side must have as well.
    pub(crate) required: u64,
    /// From a server, that of its process; from a client, that of the process which it wants to
    /// reach, or 0 for any.
    pub(crate) incarnation: u64,
    /// Present in the `Hello` of a client only.
    pub(crate) client: Option<ClientIdentity>,
    pub(crate) limits: HelloLimits,
    pub(crate) namespace: &'a str,
}

/// The versions of the protocol that a side speaks, from the oldest to the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkVersions {
    pub(crate) oldest: u16,
    pub(crate) newest: u16,
}

/// The client behind a link, so that its links follow each other in order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientIdentity {
    /// Secret: any process that knows it can replace the client's link. Not all 0.
    pub(crate) id: [u8; 16],
    /// Grows with each link of the client.
    pub(crate) generation: u64,
}

/// Without the id, which is a secret.
impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientIdentity(generation {})", self.generation)
    }
}

/// The limits that a side sets to what the other one sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HelloLimits {
    /// The largest message that it accepts.
    pub(crate) max_message_bytes: u32,
    /// The bytes of requests, or of replies, that may arrive before it returns credit.
    pub(crate) credit_bytes: u64,
    /// The requests that may arrive before it returns credit; 0 from a client.
    pub(crate) credit_requests: u32,
    /// The requests that may be unanswered; more are answered busy. 0 from a client.
    pub(crate) max_unanswered: u32,
    /// The names of receivers that it remembers; none from a client.
    pub(crate) names: InternLimits,
    /// The names of message types that it remembers.
    pub(crate) types: InternLimits,
}

/// The limits of the texts of one kind that a side remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct InternLimits {
    /// The greatest id.
    pub(crate) entries: u32,
    /// The bytes of all texts together.
    pub(crate) bytes: u32,
}

impl<'a> HelloFrame<'a> {
    /// Appends the frame.
    ///
    /// # Errors
    ///
    /// [`FrameTooLarge`] if the namespace is too long, which no namespace is; then nothing is
    /// appended.
    pub(crate) fn encode(&self, buffer: &mut BytesMut) -> Result<(), FrameTooLarge> {
        let mut frame = OpenFrame::begin(buffer, KIND, 0, 0, EXPECTED_FIELDS_BYTES);
        buffer.put_u16_le(self.versions.oldest);
        buffer.put_u16_le(self.versions.newest);
        buffer.put_u32_le(self.limits.max_message_bytes);
        buffer.put_u64_le(self.features);
        buffer.put_u64_le(self.required);
        buffer.put_u64_le(self.incarnation);
        let client = self.client.unwrap_or(ClientIdentity {
            id: [0; 16],
            generation: 0,
        });
        buffer.put_slice(&client.id);
        buffer.put_u64_le(client.generation);
        buffer.put_u64_le(self.limits.credit_bytes);
        buffer.put_u32_le(self.limits.credit_requests);
        buffer.put_u32_le(self.limits.max_unanswered);
        for texts in [self.limits.names, self.limits.types] {
            buffer.put_u32_le(texts.entries);
            buffer.put_u32_le(texts.bytes);
        }
        frame.text(buffer, NAMESPACE_TAG, self.namespace, MAX_RECEIVER_BYTES);
        frame.finish(buffer)
    }

    pub(super) fn read(mut fixed: &[u8], fields: Fields<'a>) -> Result<Self, LinkError> {
        let mut namespace = None;
        for field in fields {
            match field.tag {
                NAMESPACE_TAG => set_once(&mut namespace, field, KIND)?,
                _ => reject_critical(field, KIND)?,
            }
        }
        let namespace = namespace.ok_or(LinkError::Fields(KIND))?;
        let hello = Self::read_fixed(&mut fixed, read_text(namespace, MAX_RECEIVER_BYTES, KIND)?);
        let hello = hello.map_err(|_| LinkError::FrameTooShort(KIND))?;
        let is_generation_without_client = hello.client.is_some_and(|client| client.id == [0; 16]);
        if hello.required & !hello.features != 0
            || hello.versions.oldest > hello.versions.newest
            || is_generation_without_client
        {
            return Err(LinkError::Value(KIND));
        }
        Ok(hello)
    }

    fn read_fixed(fixed: &mut &[u8], namespace: &'a str) -> Result<Self, bytes::TryGetError> {
        let versions = LinkVersions {
            oldest: fixed.try_get_u16_le()?,
            newest: fixed.try_get_u16_le()?,
        };
        let max_message_bytes = fixed.try_get_u32_le()?;
        let features = fixed.try_get_u64_le()?;
        let required = fixed.try_get_u64_le()?;
        let incarnation = fixed.try_get_u64_le()?;
        let mut id = [0; 16];
        fixed.try_copy_to_slice(&mut id)?;
        let generation = fixed.try_get_u64_le()?;
        let client = ClientIdentity { id, generation };
        let limits = HelloLimits {
            max_message_bytes,
            credit_bytes: fixed.try_get_u64_le()?,
            credit_requests: fixed.try_get_u32_le()?,
            max_unanswered: fixed.try_get_u32_le()?,
            names: InternLimits::read(fixed)?,
            types: InternLimits::read(fixed)?,
        };
        Ok(Self {
            versions,
            features,
            required,
            incarnation,
            client: (id != [0; 16] || generation != 0).then_some(client),
            limits,
            namespace,
        })
    }

    /// Checks the values that depend on the side that sends this `Hello`.
    pub(super) fn check(&self, side: LinkSide) -> Result<(), LinkError> {
        let is_client = side == LinkSide::Client;
        if self.client.is_some() != is_client {
            return Err(LinkError::Value(KIND));
        }
        if !is_client && self.incarnation == 0 {
            return Err(LinkError::Value(KIND));
        }
        self.limits.check(side)
    }
}

impl HelloLimits {
    fn check(&self, side: LinkSide) -> Result<(), LinkError> {
        let of = |is_allowed, name| match is_allowed {
            true => Ok(()),
            false => Err(LinkError::HelloLimit(name)),
        };
        // A reply is charged as a whole when it begins, so the largest one must fit.
        let largest_reply = u64::from(self.max_message_bytes).saturating_add(MAX_LENGTH as u64);
        let (least_bytes, least_requests) = match side {
            LinkSide::Client => (MIN_CREDIT_BYTES.max(largest_reply), 0),
            LinkSide::Server => (MIN_CREDIT_BYTES, MIN_REQUESTS),
        };
        of(self.credit_bytes >= least_bytes, "credit_bytes")?;
        of(self.credit_requests >= least_requests, "credit_requests")?;
        of(self.max_unanswered >= least_requests, "max_unanswered")
    }
}

impl InternLimits {
    fn read(fixed: &mut &[u8]) -> Result<Self, bytes::TryGetError> {
        Ok(Self {
            entries: fixed.try_get_u32_le()?,
            bytes: fixed.try_get_u32_le()?,
        })
    }
}
