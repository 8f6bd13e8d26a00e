//! The state that all links of a server share.

use std::sync::Arc;

use super::link_clients::LinkClients;
use crate::name::Namespace;
use crate::registry::Incarnation;
use crate::route::directory::Directory;
use crate::route::link::{HelloFrame, HelloLimits, InternLimits, LINK_VERSIONS, LinkVersions};

/// The requests that may be unanswered on a link, and also those that may arrive before credit is
/// returned, for each stream that a gRPC connection allows: they cost less, and one link carries
/// the requests of a whole process.
const REQUESTS_PER_STREAM: u32 = 4;
/// The bytes of requests that a client may send before credit is returned: with a round trip of 10
/// ms, more than a gigabyte a second.
const CREDIT_BYTES: usize = 16 * 1024 * 1024;
/// The least that the protocol allows.
const MIN_CREDIT_BYTES: usize = 128 * 1024;
/// The names of receivers that a link remembers. Each takes about 100 bytes.
const NAMES: InternLimits = InternLimits {
    entries: 4096,
    bytes: 256 * 1024,
};
/// The names of types that a side remembers, which are as many as programs have types.
pub(in crate::route::link) const TYPES: InternLimits = InternLimits {
    entries: 1024,
    bytes: 128 * 1024,
};

/// While more connections than this are open, less is remembered for each further link: what all
/// remember is in no budget. A client whose names are not remembered sends them in full.
const MANY_CONNECTIONS: u64 = 256;
/// The same for such links.
const FEW_NAMES: InternLimits = InternLimits {
    entries: 128,
    bytes: 16 * 1024,
};
const FEW_TYPES: InternLimits = InternLimits {
    entries: 64,
    bytes: 8 * 1024,
};

/// The state that all links of a server share.
pub(in crate::route) struct LinkService {
    pub(super) directory: Arc<dyn Directory>,
    namespace: Namespace,
    pub(super) max_message_bytes: usize,
    incarnation: Incarnation,
    limits: HelloLimits,
    pub(super) clients: Arc<LinkClients>,
}

impl LinkService {
    /// Creates the state. `received_per_connection` is the limit on the bytes of messages that one
    /// connection may hold.
    pub(in crate::route) fn new(
        directory: Arc<dyn Directory>,
        namespace: Namespace,
        max_message_bytes: usize,
        incarnation: Incarnation,
        max_streams: u32,
        received_per_connection: usize,
    ) -> Self {
        let requests = max_streams.saturating_mul(REQUESTS_PER_STREAM).max(4);
        let credit_bytes = CREDIT_BYTES.min(received_per_connection / 2);
        Self {
            directory,
            namespace,
            max_message_bytes,
            incarnation,
            limits: HelloLimits {
                max_message_bytes: u32::try_from(max_message_bytes).unwrap_or(u32::MAX),
                credit_bytes: credit_bytes.max(MIN_CREDIT_BYTES) as u64,
                credit_requests: requests,
                max_unanswered: requests,
                names: NAMES,
                types: TYPES,
            },
            clients: Arc::default(),
        }
    }

    /// The limits of one more link, while so many connections are open.
    pub(super) const fn limits_among(&self, connections: u64) -> HelloLimits {
        let (names, types) = match connections > MANY_CONNECTIONS {
            true => (FEW_NAMES, FEW_TYPES),
            false => (NAMES, TYPES),
        };
        HelloLimits {
            names,
            types,
            ..self.limits
        }
    }

    /// Returns the server's `Hello` for a link of these versions with these limits.
    pub(super) fn hello(&self, versions: LinkVersions, limits: HelloLimits) -> HelloFrame<'_> {
        HelloFrame {
            versions,
            features: 0,
            required: 0,
            incarnation: self.incarnation.get(),
            client: None,
            limits,
            namespace: self.namespace.as_str(),
        }
    }

    /// Returns a `Hello` that states all versions that the server speaks.
    pub(super) fn offer(&self) -> HelloFrame<'_> {
        self.hello(LINK_VERSIONS, self.limits)
    }
}
