//! The first frames of both sides.

use bytes::{Buf as _, BufMut as _, Bytes};

use super::field::put_field;
use crate::peer::NAMESPACE;

/// The bytes of the fixed fields.
const FIXED_BYTES: usize = 88;
const NAMESPACE_TAG: u8 = 0x81;
const MAX_REPLY_BYTES: u32 = 4 << 20;

/// The least credit that a client may grant: its largest message and a frame.
pub(crate) const LEAST_CREDIT: u64 = MAX_REPLY_BYTES as u64 + 83_200;

/// The `Hello` of a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientHello {
    pub(crate) client: [u8; 16],
    pub(crate) generation: u64,
    /// The credit for replies, in bytes.
    pub(crate) credit: u64,
}

impl ClientHello {
    /// The `Hello` of this client, with enough credit for whatever it asks for.
    pub(crate) fn new(client: [u8; 16], generation: u64) -> Self {
        Self {
            client,
            generation,
            credit: 64 << 20,
        }
    }

    /// The `Hello` of a client that has no other link.
    pub(crate) fn of_new_client() -> Self {
        // Not all zeros.
        Self::new(fastrand::u128(1..).to_le_bytes(), 1)
    }

    /// Returns the length of the optional fields, and all that is behind the head.
    pub(super) fn parts(&self) -> (usize, Vec<u8>) {
        let mut rest = Vec::with_capacity(FIXED_BYTES + 64);
        rest.put_u16_le(1);
        rest.put_u16_le(1);
        rest.put_u32_le(MAX_REPLY_BYTES);
        // Features, those that are required, and the incarnation: none, and any.
        rest.put_bytes(0, 24);
        rest.put_slice(&self.client);
        rest.put_u64_le(self.generation);
        rest.put_u64_le(self.credit);
        // The server sends no requests, and refers to no receivers.
        rest.put_bytes(0, 16);
        rest.put_u32_le(256);
        rest.put_u32_le(16 * 1024);
        put_field(&mut rest, NAMESPACE_TAG, NAMESPACE.as_bytes());
        (rest.len() - FIXED_BYTES, rest)
    }
}

/// The limits in the `Hello` of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerLimits {
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
    /// The greatest id of a receiver.
    pub(crate) names: u32,
}

impl ServerLimits {
    /// Reads what is behind the head of a `Hello`.
    pub(super) fn read(rest: &Bytes) -> Option<Self> {
        let mut limits = rest.get(56..76)?;
        let bytes = limits.get_u64_le();
        let requests = limits.get_u32_le().into();
        let _unanswered = limits.get_u32_le();
        Some(Self {
            bytes,
            requests,
            names: limits.get_u32_le(),
        })
    }
}
