//! Follows one key over the failures of its watch.

use std::collections::VecDeque;

use futures_core::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};

use super::backend::WatchStream;
use super::change::Change;
use super::entry::{Entry, Listing};
use super::error::RegistryError;
use super::selector::Selector;
use super::timed::TimedRegistry;
use crate::back_off::{BackOff, BackOffPolicy};
use crate::environment::Timestamp;
use crate::revision::Revision;

/// The state of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyState {
    Present(Entry),
    Absent,
}

/// The states of one key: the present one, and then each that follows, in their order.
///
/// It reads the key, and watches it from the revision of the read on. When the watch breaks, or
/// the read fails, it backs off and reads again: then changes meanwhile may be missing, but the
/// state that is there now is not. No state comes after a later one, except from a registry that
/// was restored from a snapshot: the watch goes back with it.
///
/// It has no task, and does something only while [`next`](Self::next) is polled. It holds the
/// states of one message of the watch, or of one read.
pub(crate) struct KeyWatch {
    registry: TimedRegistry,
    key: String,
    policy: BackOffPolicy,
    back_off: BackOff,
    stage: Stage,
    /// States that came together and are not returned yet. Nothing is read before it is empty.
    ready: VecDeque<KeyState>,
    /// The last state that came. `None` while nothing has been read.
    last: Option<KeyState>,
    /// The last revision up to which every state has come.
    known: Option<Revision>,
}

/// The exchanges are kept: a caller that is often done sooner would otherwise begin them again and
/// again, and never see them end.
enum Stage {
    /// A read of the key on its way, the pause before it included.
    Read(BoxFuture<'static, Result<Listing, RegistryError>>),
    /// A watch that is being opened.
    Open(BoxFuture<'static, Result<WatchStream, RegistryError>>),
    Watch {
        changes: WatchStream,
        since: Timestamp,
        /// It has given changes.
        proven: bool,
    },
}

impl KeyWatch {
    /// Follows `key`, and begins with its present state.
    pub(crate) fn new(registry: TimedRegistry, key: String, policy: BackOffPolicy) -> Self {
        let stage = Stage::Read(read(registry.clone(), key.clone()).boxed());
        Self::at(registry, key, policy, stage, None)
    }

    /// Follows `key` from behind a revision at which the caller knows its state, and begins with
    /// the first state after that. If the watch cannot be opened there (the registry is away, or
    /// its history is compacted), begins with the present state, which may be the known one.
    pub(crate) fn after(
        registry: TimedRegistry,
        key: String,
        policy: BackOffPolicy,
        known: Revision,
    ) -> Self {
        let stage = Stage::Open(open(registry.clone(), key.clone(), known).boxed());
        Self::at(registry, key, policy, stage, Some(known))
    }

    fn at(
        registry: TimedRegistry,
        key: String,
        policy: BackOffPolicy,
        stage: Stage,
        known: Option<Revision>,
    ) -> Self {
        Self {
            registry,
            key,
            policy,
            back_off: BackOff::new(policy),
            stage,
            ready: VecDeque::new(),
            last: None,
            known,
        }
    }

    /// The next state. After a break it may be the same one again, if the key may have changed and
    /// changed back. Waits while the registry is away.
    ///
    /// Cancel safe: what was read is returned by the next call, and what is on its way goes on.
    pub(crate) async fn next(&mut self) -> KeyState {
        loop {
            if let Some(state) = self.ready.pop_front() {
                return state;
            }
            // After each of these awaits the outcome is kept without another await.
            match &mut self.stage {
                Stage::Read(read) => {
                    let read = read.await;
                    self.has_read(read);
                }
                Stage::Open(open) => {
                    let opened = open.await;
                    self.has_opened(opened);
                }
                Stage::Watch {
                    changes, proven, ..
                } => {
                    let batch = changes.next().await;
                    *proven |= matches!(batch, Some(Ok(_)));
                    self.has_changed(batch);
                }
            }
        }
    }

    fn has_read(&mut self, read: Result<Listing, RegistryError>) {
        let listing = match read {
            Ok(listing) => listing,
            Err(error) => return self.has_broken(&error),
        };
        let state = listing
            .entries
            .into_iter()
            .next()
            .map_or(KeyState::Absent, KeyState::Present);
        let same = self.last.as_ref() == Some(&state);
        // An entry has one modification revision. An absent key may have come and gone.
        let unchanged = match state {
            KeyState::Present(_) => same,
            KeyState::Absent => same && self.known == Some(listing.revision),
        };
        if !unchanged {
            self.last = Some(state.clone());
            self.ready.push_back(state);
        }
        self.known = Some(listing.revision);
        let open = open(self.registry.clone(), self.key.clone(), listing.revision);
        self.stage = Stage::Open(open.boxed());
    }

    fn has_opened(&mut self, opened: Result<WatchStream, RegistryError>) {
        match opened {
            Ok(changes) => {
                self.stage = Stage::Watch {
                    changes,
                    since: self.registry.environment().now(),
                    proven: false,
                }
            }
            Err(error) => self.has_broken(&error),
        }
    }

    fn has_changed(&mut self, batch: Option<Result<Vec<Change>, RegistryError>>) {
        let batch = match batch {
            Some(Ok(batch)) => batch,
            Some(Err(error)) => return self.has_broken(&error),
            None => return self.has_broken(&RegistryError::no_reply()),
        };
        for change in batch {
            let revision = change.revision();
            if self.known.is_some_and(|known| revision <= known) {
                continue;
            }
            self.known = Some(revision);
            let state = match change {
                Change::Put(entry) => KeyState::Present(entry),
                Change::Deleted { .. } => KeyState::Absent,
            };
            self.last = Some(state.clone());
            self.ready.push_back(state);
        }
    }

    /// Reads again after a pause. The pauses grow until a watch gives changes, or holds for as long
    /// as the longest pause: a registry that takes watches and drops them at once is not hammered.
    fn has_broken(&mut self, error: &RegistryError) {
        let environment = self.registry.environment().clone();
        if let Stage::Watch { since, proven, .. } = self.stage
            && (proven || environment.now().since(since) >= self.policy.last_step())
        {
            self.back_off.reset();
        }
        let pause = self.back_off.next(environment.random_unit());
        tracing::debug!(%error, key = self.key, ?pause, "watch of a key broke");
        let read = read(self.registry.clone(), self.key.clone());
        let paused = async move {
            environment.sleep(pause).await;
            read.await
        };
        self.stage = Stage::Read(paused.boxed());
    }
}

async fn read(registry: TimedRegistry, key: String) -> Result<Listing, RegistryError> {
    registry.exchange(|backend| backend.read(&key)).await
}

async fn open(
    registry: TimedRegistry,
    key: String,
    known: Revision,
) -> Result<WatchStream, RegistryError> {
    let selector = Selector::Key(key);
    registry
        .exchange(|backend| backend.watch(&selector, known.next()))
        .await
}

#[cfg(test)]
mod tests;
