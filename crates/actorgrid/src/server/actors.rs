use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::environment::Timestamp;
use crate::mailbox::{Stop, StopReason};
use crate::name::Name;
use crate::token::Token;

/// The actors of a peer, over all its sessions: one that cannot be stopped keeps its name here.
#[derive(Debug)]
pub(super) struct Actors {
    running: Mutex<HashMap<Name, Arc<Running>>>,
    most: usize,
}

/// Why a name cannot be reserved.
#[derive(Debug)]
pub(super) enum Occupied {
    /// It is taken on this peer.
    Taken(Arc<Running>),
    /// The peer has as many actors as it may have.
    Full,
}

/// An actor, from the reservation of its name until the name is free again.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) name: Name,
    pub(super) stop: Arc<Stop>,
    /// Set when the name is registered.
    pub(super) token: OnceLock<Token>,
    /// Cancelled when it is decided whether the name is registered.
    pub(super) decided: CancellationToken,
    /// Cancelled when the name is free again.
    pub(super) freed: CancellationToken,
}

impl Actors {
    pub(super) fn new(most: usize) -> Self {
        Self {
            running: Mutex::default(),
            most,
        }
    }

    /// Reserves a name, or answers who has it.
    pub(super) fn reserve(self: &Arc<Self>, name: &Name) -> Result<Slot, Occupied> {
        let mut running = self.lock();
        if let Some(other) = running.get(name) {
            return Err(Occupied::Taken(other.clone()));
        }
        if running.len() >= self.most {
            return Err(Occupied::Full);
        }
        let ours = Arc::new(Running {
            name: name.clone(),
            stop: Arc::default(),
            token: OnceLock::new(),
            decided: CancellationToken::new(),
            freed: CancellationToken::new(),
        });
        running.insert(name.clone(), ours.clone());
        Ok(Slot {
            actors: self.clone(),
            running: ours,
        })
    }

    pub(super) fn get(&self, name: &Name) -> Option<Arc<Running>> {
        self.lock().get(name).cloned()
    }

    /// Asks all of them to stop.
    pub(super) fn ask(&self, reason: StopReason, until: Timestamp) {
        for running in self.lock().values() {
            running.stop.ask(reason, until);
        }
    }

    /// Those whose code has not ended. A name without code is only on its way in or out.
    pub(super) fn unended(&self) -> Vec<Name> {
        let running = self.lock();
        let unended = |running: &&Arc<Running>| {
            running.token.get().is_some() && !running.stop.ended().is_cancelled()
        };
        let unended = running.values().filter(unended);
        let mut names: Vec<Name> = unended.map(|running| running.name.clone()).collect();
        names.sort();
        names
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reserved name. Dropped, it is free.
#[derive(Debug)]
pub(super) struct Slot {
    actors: Arc<Actors>,
    pub(super) running: Arc<Running>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.actors.lock().remove(&self.running.name);
        self.running.decided.cancel();
        self.running.freed.cancel();
    }
}
