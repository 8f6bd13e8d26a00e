//! The records of a peer's actors.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use actorgrid::Token;

/// The records of a peer's actors, which its reports show.
#[derive(Debug, Default)]
pub struct Ledger {
    echoed: AtomicU64,
    forbidden: AtomicU64,
    leader: Mutex<Option<Token>>,
}

impl Ledger {
    /// Returns the number of messages that were echoed.
    #[must_use]
    pub fn echoed(&self) -> u64 {
        self.echoed.load(Ordering::Relaxed)
    }

    /// Returns the number of those messages that should have been rejected.
    #[must_use]
    pub fn forbidden(&self) -> u64 {
        self.forbidden.load(Ordering::Relaxed)
    }

    /// Returns the token of the leader that was started last.
    #[must_use]
    pub fn leader(&self) -> Option<Token> {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn echo(&self, is_forbidden: bool) {
        self.echoed.fetch_add(1, Ordering::Relaxed);
        if is_forbidden {
            self.forbidden.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn lead(&self, token: Token) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
    }
}
