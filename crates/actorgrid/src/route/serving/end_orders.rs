//! The orders that end an accepted connection.

use tokio_util::sync::CancellationToken;

/// The orders that end a connection.
pub(in crate::route) struct EndOrders {
    /// Accept no more requests, and end when those that are here are answered.
    pub(in crate::route) graceful: CancellationToken,
    /// The same, at once.
    pub(in crate::route) evicted: CancellationToken,
}
