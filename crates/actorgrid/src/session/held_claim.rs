//! A claim that was won, and holds its names until it is dropped.

use std::fmt;

use tokio::sync::mpsc;

use super::claimed_names::ClaimedNames;
use super::on_free::OnFree;
use crate::revision::Revision;

/// A claim that was won. The session holds its names until this value is dropped, and then releases
/// them.
pub(crate) struct HeldClaim {
    revision: Revision,
    /// `Some` until this is dropped.
    names: Option<ClaimedNames<OnFree>>,
    given_up: mpsc::UnboundedSender<ClaimedNames<OnFree>>,
}

impl HeldClaim {
    /// Holds `names`, and sends them to `given_up` when dropped.
    pub(super) fn new(
        names: ClaimedNames<OnFree>,
        given_up: mpsc::UnboundedSender<ClaimedNames<OnFree>>,
    ) -> Self {
        Self {
            revision: names.revision,
            names: Some(names),
            given_up,
        }
    }

    /// Returns the revision at which the names were registered.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// Calls `on_free` once the names are free: deleted, or no longer ours because the session is
    /// over. Then the registry may still hold them, until the lease has ended.
    pub(crate) fn on_free(&mut self, on_free: impl FnOnce() + Send + Sync + 'static) {
        if let Some(names) = &mut self.names {
            names.reservation.push(on_free);
        }
    }
}

impl Drop for HeldClaim {
    fn drop(&mut self) {
        if let Some(names) = self.names.take() {
            // If the receiver is gone, the session has ended, and dropping the names frees them.
            let _ = self.given_up.send(names);
        }
    }
}

impl fmt::Debug for HeldClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldClaim")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}
