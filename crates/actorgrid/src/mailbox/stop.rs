//! The order to stop, as an owner of mailboxes receives it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::token_expired::TokenExpired;
use crate::environment::Timestamp;
use crate::session::{Fence, FenceReason};
use crate::stable_names::stable_names;
use crate::token::Token;
use crate::wake_list::{WakeLink, WakeList, WakePlace};

/// Why an actor has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// A stop message asked it to.
    Asked,
    /// Its peer is fenced: its work no longer counts.
    Fenced,
    /// Its server is shutting down.
    Shutdown,
}

stable_names! {
    StopReason {
        Asked = "asked",
        Fenced = "fenced",
        Shutdown = "shutdown",
    }
}

/// Why an actor has to stop, and the time it has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopping {
    /// The reason.
    pub reason: StopReason,
    /// The time until everything that still runs is aborted.
    pub time_left: Duration,
}

/// Whether an owner of mailboxes is asked to stop or has ended, and the fence that applies to it.
///
/// All of this is read without a lock. Only waiting tasks join a list, and that list is the
/// owner's: the fence's list, which all owners share, has one place per owner.
#[derive(Debug)]
pub(crate) struct Stop {
    fence: Arc<Fence>,
    order: OnceLock<(StopReason, Timestamp)>,
    ended: AtomicBool,
    /// Woken when the order, the end or the fence changes.
    wakes: Arc<WakeList>,
    #[allow(dead_code)] // held for its drop
    of_fence: WakeLink,
}

impl Stop {
    pub(crate) fn new(fence: &Arc<Fence>) -> Self {
        let wakes = Arc::default();
        Self {
            of_fence: fence.link(&wakes),
            fence: fence.clone(),
            order: OnceLock::new(),
            ended: AtomicBool::new(false),
            wakes,
        }
    }

    /// Orders the owner to stop by `until`. Only the first order counts.
    pub(crate) fn ask(&self, reason: StopReason, until: Timestamp) {
        if self.order.set((reason, until)).is_ok() {
            self.wakes.wake_all();
        }
    }

    /// Marks the owner as ended: its mailboxes close.
    pub(crate) fn end(&self) {
        if !self.ended.swap(true, Ordering::AcqRel) {
            self.wakes.wake_all();
        }
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.order.get().is_some()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn order(&self) -> Option<(StopReason, Timestamp)> {
        self.order.get().copied()
    }

    pub(crate) fn fence(&self) -> &Arc<Fence> {
        &self.fence
    }

    /// Returns the owner's token while it is valid. Reads the clock, so it already fails at the
    /// first call after the process was paused past the fence.
    pub(crate) fn current(&self, token: Token) -> Result<Token, TokenExpired> {
        if self.is_ended() {
            Err(TokenExpired::Ended)
        } else if !self.fence.admits() {
            let reason = self.fence.reason().unwrap_or(FenceReason::Deadline);
            Err(TokenExpired::Fenced(reason))
        } else {
            Ok(token)
        }
    }

    /// Returns a place to wait for a change of the order, the end or the fence.
    pub(crate) fn join(&self) -> WakePlace {
        self.wakes.join()
    }

    /// Waits until the owner has to stop; returns why and until when.
    pub(crate) async fn stopping(&self) -> (StopReason, Timestamp) {
        let is_to_stop = || self.fence.is_fenced() || self.is_asked();
        if !is_to_stop() {
            self.join().until(is_to_stop).await;
        }
        match self.order() {
            Some(order) if !self.fence.is_fenced() => order,
            _ => (StopReason::Fenced, self.fence.hard()),
        }
    }
}
