//! The order to stop that an owner of mailboxes gets.

use std::sync::OnceLock;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::environment::Timestamp;
use crate::session::Fence;
use crate::stable_names::stable_names;

/// Why an actor is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// It was asked to, by a stop message.
    Asked,
    /// Its peer is fenced: what it does from now on does not count.
    Fenced,
    /// Its server shuts down.
    Shutdown,
}

stable_names! {
    StopReason {
        Asked = "asked",
        Fenced = "fenced",
        Shutdown = "shutdown",
    }
}

/// The reason for which an actor is to stop, and the time that it has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopping {
    /// Why.
    pub reason: StopReason,
    /// The time until what still runs is aborted.
    pub time_left: Duration,
}

/// Whether an owner of mailboxes is asked to stop, or has ended.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    asked: CancellationToken,
    order: OnceLock<(StopReason, Timestamp)>,
    ended: CancellationToken,
}

impl Stop {
    /// Asks to stop until then. The first order stays.
    pub(crate) fn ask(&self, reason: StopReason, until: Timestamp) {
        let _ = self.order.set((reason, until));
        self.asked.cancel();
    }

    /// The owner has ended: its mailboxes close.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_cancelled()
    }

    pub(crate) fn asked(&self) -> &CancellationToken {
        &self.asked
    }

    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    pub(crate) fn order(&self) -> Option<(StopReason, Timestamp)> {
        self.order.get().copied()
    }

    /// Ends when the owner is to stop, and says why and until when.
    pub(crate) async fn stopping(&self, fence: &Fence) -> (StopReason, Timestamp) {
        tokio::select! {
            biased;
            () = fence.fenced().cancelled() => (StopReason::Fenced, fence.hard()),
            () = self.asked.cancelled() => {
                let (reason, until) = self.order().unwrap_or((StopReason::Asked, Timestamp::ZERO));
                (reason, until)
            }
        }
    }
}
