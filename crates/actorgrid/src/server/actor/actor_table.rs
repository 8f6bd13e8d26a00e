//! The names of a peer's actors: which names are reserved, and which actors have not ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::environment::Timestamp;
use crate::mailbox::{Stop, StopReason};
use crate::name::Name;
use crate::once_event::OnceEvent;
use crate::session::Fence;
use crate::token::Token;

/// The table keeps room for this many actors. When it holds an eighth of what it has room for, it
/// frees the rest.
const KEPT_CAPACITY: usize = 1024;

/// The actors of a peer, over all its sessions: an actor that cannot be stopped keeps its name
/// here.
#[derive(Debug)]
pub(in crate::server) struct ActorTable {
    running: Mutex<HashMap<Name, Arc<RunningActor>>>,
    max_actors: usize,
}

/// The reason that a name cannot be reserved.
#[derive(Debug)]
pub(in crate::server) enum NotReserved {
    /// The name is taken on this peer.
    Held(Arc<RunningActor>),
    /// The peer already has its maximum number of actors.
    Full,
}

/// An actor, from the reservation of its name until the name is free again.
#[derive(Debug)]
pub(in crate::server) struct RunningActor {
    pub(in crate::server) name: Name,
    pub(in crate::server) stop: Arc<Stop>,
    /// Set while user code runs for the start, before the name is registered.
    pub(in crate::server) preparing: AtomicBool,
    /// Set when the name is registered.
    pub(in crate::server) token: OnceLock<Token>,
    /// Set when the actor's code and tasks have ended, and only its names are left.
    pub(in crate::server) gone: AtomicBool,
    /// The number of other starts of the name that wait for the outcome of this one.
    pub(in crate::server) starts_waiting: AtomicUsize,
    /// It is decided whether the name is registered.
    pub(in crate::server) decided: OnceEvent,
    /// The name is free again.
    pub(in crate::server) freed: OnceEvent,
}

impl RunningActor {
    /// Returns the token of an actor that is running or about to run; `None` while its name is
    /// being registered, and after its code has ended.
    pub(super) fn holds(&self) -> Option<Token> {
        let token = self.token.get().copied();
        token.filter(|_| !self.stop.is_ended())
    }
}

impl ActorTable {
    pub(in crate::server) fn new(max_actors: usize) -> Self {
        Self {
            running: Mutex::default(),
            max_actors,
        }
    }

    /// Reserves a name for an actor under this fence, or returns the actor that holds it.
    pub(in crate::server) fn reserve(
        self: &Arc<Self>,
        name: &Name,
        fence: &Arc<Fence>,
    ) -> Result<ReservedActor, NotReserved> {
        let mut running = self.lock();
        if let Some(other) = running.get(name) {
            return Err(NotReserved::Held(other.clone()));
        }
        if running.len() >= self.max_actors {
            return Err(NotReserved::Full);
        }
        let ours = Arc::new(RunningActor {
            name: name.clone(),
            stop: Arc::new(Stop::new(fence)),
            preparing: AtomicBool::new(false),
            token: OnceLock::new(),
            gone: AtomicBool::new(false),
            starts_waiting: AtomicUsize::new(0),
            decided: OnceEvent::default(),
            freed: OnceEvent::default(),
        });
        running.insert(name.clone(), ours.clone());
        Ok(ReservedActor {
            actors: self.clone(),
            running: ours,
        })
    }

    pub(in crate::server) fn get(&self, name: &Name) -> Option<Arc<RunningActor>> {
        self.lock().get(name).cloned()
    }

    /// Asks all actors to stop.
    pub(in crate::server) fn ask(&self, reason: StopReason, until: Timestamp) {
        for running in self.lock().values() {
            running.stop.ask(reason, until);
        }
    }

    /// Returns the names of the actors whose code or tasks have not ended. A name with neither is
    /// only being registered or released.
    pub(in crate::server) fn unended(&self) -> Vec<Name> {
        let running = self.lock();
        let unended = |running: &&Arc<RunningActor>| {
            let registered = running.token.get().is_some();
            let acts = registered && !running.gone.load(Ordering::Acquire);
            acts || running.preparing.load(Ordering::Acquire)
        };
        let unended = running.values().filter(unended);
        let mut names: Vec<Name> = unended.map(|running| running.name.clone()).collect();
        names.sort();
        names
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Arc<RunningActor>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reserved name. Dropping it frees the name.
#[derive(Debug)]
pub(in crate::server) struct ReservedActor {
    actors: Arc<ActorTable>,
    pub(in crate::server) running: Arc<RunningActor>,
}

impl Drop for ReservedActor {
    fn drop(&mut self) {
        let mut running = self.actors.lock();
        running.remove(&self.running.name);
        if running.capacity() > KEPT_CAPACITY && running.len() < running.capacity() / 8 {
            let kept = (running.len() * 2).max(KEPT_CAPACITY);
            running.shrink_to(kept);
        }
        drop(running);
        self.running.decided.happen();
        self.running.freed.happen();
    }
}
