//! The sender of a request.

use std::net::SocketAddr;
use std::sync::Arc;

/// The sender of a request, as far as its connection shows it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `None` for the same process.
    connection: Option<Arc<ConnectionIdentity>>,
}

/// The known facts about the other end of an accepted connection. All its requests share them.
#[derive(Debug, PartialEq, Eq)]
struct ConnectionIdentity {
    address: Option<SocketAddr>,
}

impl Caller {
    pub(super) const LOCAL: Self = Self { connection: None };

    pub(crate) const fn local() -> Self {
        Self::LOCAL
    }

    /// Creates the caller at the other end of a connection; a simulated one has no address.
    pub(super) fn remote(address: Option<SocketAddr>) -> Self {
        let identity = ConnectionIdentity { address };
        Self {
            connection: Some(Arc::new(identity)),
        }
    }

    /// Whether the request comes from the same process, through the peer's own client.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        self.connection.is_none()
    }

    /// Returns the address at the other end of the connection: the caller's own, or that of a proxy
    /// in between. `None` for a request from the same process, and in simulations.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.connection.as_ref()?.address
    }
}
