//! The registry that lives in the process.
//!
//! It has the semantics of etcd and no task of its own: leases end, and late requests arrive, when
//! someone looks next. An operation looks before it does anything, and a waiting watch sleeps until
//! the next of them is due.

mod backend;
mod faults;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::environment::{Environment, Timestamp};
use crate::registry::{Registry, RegistryError, RegistryErrorKind};
use crate::revision::Revision;
use crate::token::ClusterId;

pub use faults::{MemoryFault, MemoryOperation};

use state::{Presence, State};
use store::Store;

/// A registry that lives in this process, with the semantics of etcd. Cheap to clone; clones share
/// it, and so do all [`Registry`] handles made from them.
///
/// For a grid within one process, and for tests: it can be told to fail in all the ways in which a
/// service across a network fails. It holds nothing on disk. Tokens of a later one compare with
/// none of an earlier one, as each draws its own [`ClusterId`].
///
/// ```
/// use actorgrid::{Environment, MemoryFault, MemoryOperation, MemoryRegistry};
///
/// let registry = MemoryRegistry::new(&Environment::real());
/// // The next registration is made, but who asked for it does not learn of it.
/// registry.inject(MemoryOperation::Claim, MemoryFault::FailReply);
/// let handle = registry.registry();
/// assert_eq!(registry.calls(MemoryOperation::Claim), 0);
/// # drop(handle);
/// ```
#[derive(Clone)]
pub struct MemoryRegistry {
    shared: Arc<Shared>,
}

/// One per registry. No lock is held over an await.
struct Shared {
    environment: Environment,
    cluster: ClusterId,
    state: Mutex<State>,
    /// Wakes the watches when they have to look.
    moved: Notify,
}

impl MemoryRegistry {
    /// An empty registry, with the clock and the randomness of this environment.
    #[must_use]
    pub fn new(environment: &Environment) -> Self {
        // Microseconds grow faster than anyone claims names, so a new registry starts after the
        // last revision of the one before. They fit for 290,000 years.
        let start = i64::try_from(environment.wall_clock_micros()).unwrap_or(i64::MAX / 2);
        Self {
            shared: Arc::new(Shared {
                environment: environment.clone(),
                cluster: ClusterId(environment.random_u64()),
                state: Mutex::new(State::new(Store::new(Revision::new(start.max(1))))),
                moved: Notify::new(),
            }),
        }
    }

    /// A handle for servers and clients.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry::of(Arc::new(self.clone()))
    }

    /// Queues a fault for the next call of an operation. Several faults of one operation meet its
    /// calls in the order in which they were queued; calls while the registry is away or refusing
    /// use up none.
    pub fn inject(&self, operation: MemoryOperation, fault: MemoryFault) {
        self.shared
            .with(|state, _| state.faults.inject(operation, fault));
    }

    /// Takes the registry away, or brings it back. While it is away no call is answered, then or
    /// later; requests that arrive are lost; watches are silent. Leases go on to run out, and
    /// watches tell of it on return.
    pub fn set_away(&self, away: bool) {
        self.shared.with(|state, _| state.set_away(away));
    }

    /// Lets every call fail as unavailable, with nothing done, or ends that. Watches end with the
    /// same error. While the registry is [away](Self::set_away) as well, it is only away.
    pub fn set_refusing(&self, refusing: bool) {
        self.shared.with(|state, _| state.set_refusing(refusing));
    }

    /// Ends all leases at once and deletes their keys, as an operator who revokes them.
    pub fn expire_leases(&self) {
        self.shared.with(|state, _| state.store.revoke_all());
    }

    /// Forgets the history of changes: a watch that has not yet seen the last of them fails as
    /// compacted.
    pub fn compact(&self) {
        self.shared.with(|state, _| state.store.compact());
    }

    /// Ends all watches that are open with an error that says unavailable.
    pub fn break_watches(&self) {
        self.shared.with(|state, _| state.break_watches());
    }

    /// Deletes a key whoever holds it, as an operator. Answers whether it was there.
    pub fn delete(&self, key: &str) -> bool {
        self.shared.with(|state, _| state.store.delete(key))
    }

    /// Puts a key under no lease, whatever is there, as an operator. A key that was there keeps its
    /// create revision and leaves its lease.
    pub fn overwrite(&self, key: &str, value: impl Into<Bytes>) {
        let value = value.into();
        self.shared
            .with(|state, _| state.store.overwrite(key.to_owned(), value));
    }

    /// The keys that are there now, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.shared.with(|state, _| {
            let entries = state.store.list("").entries;
            entries.into_iter().map(|entry| entry.key).collect()
        })
    }

    /// How many leases there are now.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.shared.with(|state, _| state.store.leases())
    }

    /// How often an operation was called so far, with whatever outcome.
    #[must_use]
    pub fn calls(&self, operation: MemoryOperation) -> u64 {
        self.shared.with(|state, _| state.faults.calls(operation))
    }
}

impl fmt::Debug for MemoryRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRegistry")
            .field("cluster", &self.shared.cluster)
            .finish_non_exhaustive()
    }
}

/// What a call comes to once it has met the registry.
enum Met<T> {
    Answered(Result<T, RegistryError>),
    Unanswered,
    /// It arrives, and is answered, at this time.
    Delayed(Timestamp, oneshot::Receiver<Result<T, RegistryError>>),
}

impl Shared {
    /// Access to the state at the present time, after all that was due before.
    fn with<T>(&self, access: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.environment.now();
        let before = state.mark();
        state.advance(now);
        let result = access(&mut state, now);
        let after = state.mark();
        drop(state);
        if before.wakes(after) {
            self.moved.notify_waiters();
        }
        result
    }

    /// One exchange: nothing happens before the first poll, and all of it then, if no fault is in
    /// the way.
    async fn call<T, F>(
        self: &Arc<Self>,
        operation: MemoryOperation,
        request: F,
    ) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Store, Timestamp) -> Result<T, RegistryError> + Send + 'static,
    {
        match self.with(|state, now| meet(state, now, operation, request)) {
            Met::Answered(answer) => answer,
            Met::Unanswered => pending().await,
            Met::Delayed(due, reply) => self.delayed(due, reply).await,
        }
    }

    async fn delayed<T>(
        &self,
        due: Timestamp,
        mut reply: oneshot::Receiver<Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        loop {
            tokio::select! {
                biased;
                reply = &mut reply => match reply {
                    Ok(answer) => return answer,
                    // The registry was away when the request arrived.
                    Err(_) => return pending().await,
                },
                // Nobody else may look at that time.
                () = self.environment.sleep_until(due) => self.with(|_, _| ()),
            }
        }
    }
}

fn meet<T, F>(state: &mut State, now: Timestamp, operation: MemoryOperation, request: F) -> Met<T>
where
    T: Send + 'static,
    F: FnOnce(&mut Store, Timestamp) -> Result<T, RegistryError> + Send + 'static,
{
    state.faults.count(operation);
    match state.presence() {
        Presence::Here => {}
        Presence::Refusing => return Met::Answered(Err(unavailable())),
        Presence::Away => return Met::Unanswered,
    }
    let Some(fault) = state.faults.next(operation) else {
        return Met::Answered(request(&mut state.store, now));
    };
    tracing::debug!(?operation, ?fault, "injected fault met its call");
    match fault {
        MemoryFault::Refuse => Met::Answered(Err(unavailable())),
        MemoryFault::LoseRequest => Met::Unanswered,
        MemoryFault::LoseReply => {
            let _ = request(&mut state.store, now);
            Met::Unanswered
        }
        MemoryFault::FailReply => {
            let _ = request(&mut state.store, now);
            Met::Answered(Err(RegistryError::no_reply()))
        }
        MemoryFault::Delay(time) => {
            let (answer, reply) = oneshot::channel();
            let late = move |met: Option<(&mut Store, Timestamp)>| {
                // A caller that has gone does not take its request back.
                let _ = answer.send(match met {
                    Some((store, at)) => request(store, at),
                    None => Err(unavailable()),
                });
            };
            state.send_late(now + time, Box::new(late));
            Met::Delayed(now + time, reply)
        }
        MemoryFault::ArriveLate(time) => {
            let late = move |met: Option<(&mut Store, Timestamp)>| {
                if let Some((store, at)) = met {
                    let _ = request(store, at);
                }
            };
            state.send_late(now + time, Box::new(late));
            Met::Answered(Err(RegistryError::no_reply()))
        }
    }
}

fn unavailable() -> RegistryError {
    RegistryError::new(
        RegistryErrorKind::Unavailable,
        "the registry is unavailable",
    )
}
