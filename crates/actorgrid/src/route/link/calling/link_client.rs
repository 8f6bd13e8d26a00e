//! The state that all links of a client share: its identity, and its limits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::environment::Environment;
use crate::route::link::serving::TYPES;
use crate::route::link::{
    ClientIdentity, HelloFrame, HelloLimits, InternLimits, LINK_VERSIONS, MAX_LENGTH,
};

/// The bytes of replies that a peer may send before it has credit back: several of the default
/// largest size at a time.
const CREDIT_BYTES: u64 = 32 * 1024 * 1024;

/// The state that all links of a client share.
pub(in crate::route) struct LinkClient {
    namespace: Arc<str>,
    id: [u8; 16],
    generations: AtomicU64,
    max_message_bytes: usize,
}

impl LinkClient {
    /// Draws the identity of a client.
    ///
    /// # Errors
    ///
    /// The system has no random bytes. With an id that others can guess, they could replace the
    /// client's links, so it must not have any.
    pub(in crate::route) fn new(
        environment: &Environment,
        namespace: &str,
        max_message_bytes: usize,
    ) -> io::Result<Self> {
        let mut id = environment.secret()?;
        // Not all 0, which would mean that there is none.
        id[0] |= 1;
        Ok(Self {
            namespace: namespace.into(),
            id,
            generations: AtomicU64::new(1),
            max_message_bytes,
        })
    }

    pub(super) const fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }

    pub(super) fn limits(&self) -> HelloLimits {
        let max_message_bytes = u32::try_from(self.max_message_bytes).unwrap_or(u32::MAX);
        // With a quarter that is not returned yet, the largest reply still fits.
        let least = 2 * (u64::from(max_message_bytes) + MAX_LENGTH as u64);
        HelloLimits {
            max_message_bytes,
            credit_bytes: CREDIT_BYTES.max(least),
            credit_requests: 0,
            max_unanswered: 0,
            names: InternLimits::default(),
            types: TYPES,
        }
    }

    /// The `Hello` for a new link to the process of this incarnation, 0 for any.
    pub(super) fn hello(&self, incarnation: u64) -> HelloFrame<'_> {
        HelloFrame {
            versions: LINK_VERSIONS,
            features: 0,
            required: 0,
            incarnation,
            client: Some(ClientIdentity {
                id: self.id,
                generation: self.generations.fetch_add(1, Ordering::Relaxed),
            }),
            limits: self.limits(),
            namespace: &self.namespace,
        }
    }
}
