//! The order to stop that an owner of mailboxes gets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::token_expired::TokenExpired;
use crate::environment::Timestamp;
use crate::session::{Fence, FenceReason};
use crate::stable_names::stable_names;
use crate::token::Token;
use crate::wake_list::{WakeLink, WakeList, WakePlace};

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

/// Whether an owner of mailboxes is asked to stop, or has ended, and the fence that it is under.
///
/// All of it is read without a lock. Only those who wait join a list, which is the owner's own: the
/// list of the fence, which all owners share, has one place for each of them.
#[derive(Debug)]
pub(crate) struct Stop {
    fence: Arc<Fence>,
    order: OnceLock<(StopReason, Timestamp)>,
    ended: AtomicBool,
    /// Woken when one of these has changed.
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

    /// Asks to stop until then. The first order stays.
    pub(crate) fn ask(&self, reason: StopReason, until: Timestamp) {
        if self.order.set((reason, until)).is_ok() {
            self.wakes.wake_all();
        }
    }

    /// The owner has ended: its mailboxes close.
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

    /// The owner's token, while it counts. Reads the clock, so it is refused with the first step after
    /// a pause of the process.
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

    /// A place to wait for a change of it, or of the fence.
    pub(crate) fn join(&self) -> WakePlace {
        self.wakes.join()
    }

    /// Ends when the owner is to stop, and says why and until when.
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
