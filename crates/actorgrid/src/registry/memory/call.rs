//! Applies a call to the registry, subject to its presence and to the faults that tests inject.

use tokio::sync::oneshot;

use super::fault::MemoryFault;
use super::operation::MemoryOperation;
use super::state::{MemoryState, Presence};
use super::store::Store;
use crate::environment::Timestamp;
use crate::registry::{RegistryError, RegistryErrorKind};
use crate::revision::Revision;

/// The outcome of a call.
pub(super) enum CallOutcome<T> {
    Answered(Result<T, RegistryError>),
    Unanswered,
    /// The reply arrives at this time.
    Delayed(Timestamp, oneshot::Receiver<Result<T, RegistryError>>),
}

/// Applies a call to the registry, with the next injected fault for its operation if there is one.
pub(super) fn meet<T, F>(
    state: &mut MemoryState,
    now: Timestamp,
    operation: MemoryOperation,
    request: F,
) -> CallOutcome<T>
where
    T: Send + 'static,
    F: FnOnce(&mut Store, Timestamp) -> Result<T, RegistryError> + Send + 'static,
{
    state.faults.count(operation);
    match state.presence() {
        Presence::Here => {}
        Presence::Refusing => return CallOutcome::Answered(Err(unavailable())),
        Presence::Away => return CallOutcome::Unanswered,
    }
    let Some(fault) = state.faults.next(operation) else {
        return CallOutcome::Answered(request(&mut state.store, now));
    };
    tracing::debug!(?operation, ?fault, "injecting a fault into a call");
    match fault {
        MemoryFault::Refuse => CallOutcome::Answered(Err(unavailable())),
        MemoryFault::LoseRequest => CallOutcome::Unanswered,
        MemoryFault::LoseReply => {
            let _ = request(&mut state.store, now);
            CallOutcome::Unanswered
        }
        MemoryFault::FailReply => {
            let _ = request(&mut state.store, now);
            CallOutcome::Answered(Err(RegistryError::no_reply()))
        }
        MemoryFault::Delay(time) => {
            let (answer, reply) = oneshot::channel();
            let late = move |met: Option<(&mut Store, Timestamp)>| {
                // The request takes effect even if its caller has gone.
                let _ = answer.send(match met {
                    Some((store, at)) => request(store, at),
                    None => Err(unavailable()),
                });
            };
            state.send_late(now + time, Box::new(late));
            CallOutcome::Delayed(now + time, reply)
        }
        MemoryFault::DelayReply(time) => {
            let answered = request(&mut state.store, now);
            let (answer, reply) = oneshot::channel();
            let late = move |met: Option<(&mut Store, Timestamp)>| {
                let _ = answer.send(match met {
                    Some(_) => answered,
                    None => Err(RegistryError::no_reply()),
                });
            };
            state.send_late(now + time, Box::new(late));
            CallOutcome::Delayed(now + time, reply)
        }
        MemoryFault::ArriveLate(time) => {
            let late = move |met: Option<(&mut Store, Timestamp)>| {
                if let Some((store, at)) = met {
                    let _ = request(store, at);
                }
            };
            state.send_late(now + time, Box::new(late));
            CallOutcome::Answered(Err(RegistryError::no_reply()))
        }
        MemoryFault::Lag => CallOutcome::Answered(request(&mut Store::new(Revision::ZERO), now)),
        #[cfg(test)]
        MemoryFault::Panic => panic!("on purpose"),
    }
}

pub(super) fn unavailable() -> RegistryError {
    RegistryError::new(
        RegistryErrorKind::Unavailable,
        "the registry is unavailable",
    )
}
