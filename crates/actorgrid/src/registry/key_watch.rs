//! Follows the states of one key across failures of its watch.

use std::collections::VecDeque;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};

use super::backend::WatchStream;
use super::change::Change;
use super::entry::{Entry, Listing};
use super::error::RegistryError;
use super::selector::Selector;
use super::timed::TimedRegistry;
use super::watch_update::WatchUpdate;
use crate::back_off::{BackOff, BackOffPolicy, RandomShare};
use crate::environment::Timestamp;
use crate::revision::Revision;

/// The state of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyState {
    Present(Entry),
    Absent,
}

/// Follows the states of one key: the current state, and then each following one, in order.
///
/// It reads the key, and watches it from the revision of the read on. If the watch breaks or the
/// read fails, it backs off and reads again. States in between may then be missing, but the current
/// one is not. States are never returned out of order.
///
/// A watch may miss a change without an error. Where that matters, the key is [read
/// again](Self::reread_every) alongside the watch.
///
/// It has no task, and makes progress only while [`next`](Self::next) is polled. It buffers at most
/// the states of one message of the watch, or of one read.
pub(crate) struct KeyWatch {
    registry: TimedRegistry,
    key: String,
    policy: BackOffPolicy,
    back_off: BackOff,
    stage: Stage,
    /// States that arrived together and are not returned yet. Nothing is read until it is empty.
    ready: VecDeque<KeyState>,
    /// The last state that arrived. `None` while nothing has been read.
    last: Option<KeyState>,
    /// The last revision up to which every state has arrived.
    known: Option<Revision>,
    /// The maximum time between two reads of the key, if it is read alongside its watch.
    reread: Option<BackOffPolicy>,
    /// Completes once the registry follows another history than the watched one, which may still
    /// exist.
    left: BoxFuture<'static, ()>,
}

type Reading = BoxFuture<'static, Result<Listing, RegistryError>>;

/// The current activity of the watch. The exchanges are kept across calls: otherwise a caller that
/// often stops waiting early would restart them again and again, and never see one complete.
enum Stage {
    /// A read of the key, including the pause before it.
    Read(Reading),
    /// A watch that is being opened.
    Open(BoxFuture<'static, Result<WatchStream, RegistryError>>),
    Watch {
        changes: WatchStream,
        since: Timestamp,
        /// Whether the watch has reported changes, or that there are none.
        proven: bool,
        /// The next read alongside the watch.
        reread: Option<Reread>,
    },
}

/// A read alongside a watch.
enum Reread {
    /// The pause before the read.
    Pause(BoxFuture<'static, ()>),
    Sent {
        read: Reading,
        /// The revision that was known when the read was sent. The watch may report later ones
        /// meanwhile.
        known: Option<Revision>,
    },
}

/// The event that arrives first.
enum Heard {
    Left,
    Read(Result<Listing, RegistryError>),
    Opened(Result<WatchStream, RegistryError>),
    Update(Option<Result<WatchUpdate, RegistryError>>),
    RereadDue,
    Reread {
        read: Result<Listing, RegistryError>,
        sent_at: Option<Revision>,
    },
}

impl Stage {
    async fn hear(&mut self) -> Heard {
        match self {
            Self::Read(read) => Heard::Read(read.await),
            Self::Open(open) => Heard::Opened(open.await),
            Self::Watch {
                changes, reread, ..
            } => tokio::select! {
                biased;
                update = changes.next() => Heard::Update(update),
                heard = hear_reread(reread.as_mut()) => heard,
            },
        }
    }
}

impl KeyWatch {
    /// Follows `key`, and begins with its current state.
    pub(crate) fn new(registry: TimedRegistry, key: String, policy: BackOffPolicy) -> Self {
        let stage = Stage::Read(read(registry.clone(), key.clone()).boxed());
        Self::at(registry, key, policy, stage, None)
    }

    /// Follows `key` from just after a revision at which the caller knows its state, and begins
    /// with the first later state. If no watch can be opened there (the registry is unavailable, or
    /// its history is compacted), begins with the current state, which may be the known one.
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
            left: registry.followed_since(registry.follows()),
            registry,
            key,
            policy,
            back_off: BackOff::new(policy),
            stage,
            ready: VecDeque::new(),
            last: None,
            known,
            reread: None,
        }
    }

    /// Reads the key again once the known state is this old (less up to a random quarter), even
    /// though its watch reports nothing. If the key has changed, the watch is no longer trusted:
    /// the state that was read is returned, and another watch takes over from there.
    ///
    /// A change is therefore noticed within `age` plus the time of one exchange, whatever the watch
    /// misses. States in between may be skipped.
    pub(crate) fn reread_every(mut self, age: Duration) -> Self {
        self.reread = Some(BackOffPolicy::new(age, age, RandomShare::Quarter));
        self
    }

    /// Returns the next state. After the watch breaks, this may be the same state again if the key
    /// may have changed and changed back. Waits while the registry is unavailable.
    ///
    /// Cancel safe: the next call returns what was read, and continues the exchanges under way.
    pub(crate) async fn next(&mut self) -> KeyState {
        loop {
            if let Some(state) = self.ready.pop_front() {
                return state;
            }
            let heard = tokio::select! {
                biased;
                () = &mut self.left => Heard::Left,
                heard = self.stage.hear() => heard,
            };
            // There must be no await from here on: the outcome would be lost if the future were
            // dropped.
            match heard {
                Heard::Left => self.has_left(),
                Heard::Read(read) => self.has_read(read),
                Heard::Opened(opened) => self.has_opened(opened),
                Heard::Update(update) => self.has_reported(update),
                Heard::RereadDue => self.send_reread(),
                Heard::Reread { read, sent_at } => self.has_reread(read, sent_at),
            }
        }
    }

    /// Starts over: nothing that is known holds in another history.
    fn has_left(&mut self) {
        self.left = self.registry.followed_since(self.registry.follows());
        self.last = None;
        self.known = None;
        let read = read(self.registry.clone(), self.key.clone());
        self.stage = Stage::Read(read.boxed());
    }

    fn has_read(&mut self, read: Result<Listing, RegistryError>) {
        let listing = match read {
            Ok(listing) => listing,
            Err(error) => return self.has_broken(&error),
        };
        let state = state_in(&listing);
        let same = self.last.as_ref() == Some(&state);
        // An unchanged entry has the same modification revision. An absent key may have come and
        // gone.
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
                    reread: self.reread.map(|age| self.read_after(age)),
                }
            }
            Err(error) => self.has_broken(&error),
        }
    }

    /// Returns a read of the key that starts with the first pause of a policy.
    fn read_after(&self, policy: BackOffPolicy) -> Reread {
        let environment = self.registry.environment().clone();
        let pause = policy.after(1, environment.random_unit());
        Reread::Pause(async move { environment.sleep(pause).await }.boxed())
    }

    fn send_reread(&mut self) {
        if let Stage::Watch { reread, .. } = &mut self.stage {
            *reread = Some(Reread::Sent {
                read: read(self.registry.clone(), self.key.clone()).boxed(),
                known: self.known,
            });
        }
    }

    /// Handles a read of the key while its watch is open. `sent_at` is the revision that was known
    /// when the read was sent.
    fn has_reread(&mut self, read: Result<Listing, RegistryError>, sent_at: Option<Revision>) {
        let next = match read {
            Ok(listing) if !self.is_known(&listing, sent_at) => {
                tracing::debug!(
                    key = self.key,
                    "a read found a change that no watch has reported"
                );
                return self.has_read(Ok(listing));
            }
            Ok(_) => self.reread,
            Err(error) => {
                tracing::debug!(%error, key = self.key, "reading a watched key failed");
                Some(self.policy)
            }
        };
        let next = next.map(|policy| self.read_after(policy));
        if let Stage::Watch { reread, .. } = &mut self.stage {
            *reread = next;
        }
    }

    /// Whether a read alongside the watch found only what is known already. An absent key may have
    /// come and gone, which the watch has yet to report.
    fn is_known(&self, listing: &Listing, sent_at: Option<Revision>) -> bool {
        let (Some(sent_at), Some(known)) = (sent_at, self.known) else {
            return false;
        };
        if listing.revision < sent_at {
            // Reads are linearizable, so the registry has gone back to an earlier revision.
            return false;
        }
        if listing.revision < known {
            // The watch has reported a later state while the reply was under way.
            return true;
        }
        match listing.entries.first() {
            Some(entry) => entry.modified <= known,
            None => self.last == Some(KeyState::Absent),
        }
    }

    fn has_reported(&mut self, update: Option<Result<WatchUpdate, RegistryError>>) {
        let update = match update {
            Some(Ok(update)) => update,
            Some(Err(error)) => return self.has_broken(&error),
            None => return self.has_broken(&RegistryError::no_reply()),
        };
        if let Stage::Watch { proven, .. } = &mut self.stage {
            *proven = true;
        }
        let changes = match update {
            WatchUpdate::Changes(changes) => changes,
            // Not needed: after a break the key is read, which takes no revision.
            WatchUpdate::CompleteTo(_) => return,
        };
        for change in changes {
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

    /// Reads again after a pause. The pauses grow until a watch reports changes, or lasts for as
    /// long as the longest pause, so as not to hammer a registry that accepts watches and drops
    /// them at once.
    fn has_broken(&mut self, error: &RegistryError) {
        let environment = self.registry.environment().clone();
        if let Stage::Watch { since, proven, .. } = self.stage
            && (proven || environment.now().since(since) >= self.policy.last_step())
        {
            self.back_off.reset();
        }
        let pause = self.back_off.next(environment.random_unit());
        tracing::debug!(%error, key = self.key, ?pause, "the watch of a key broke");
        let read = read_later(self.registry.clone(), self.key.clone(), pause);
        self.stage = Stage::Read(read.boxed());
    }
}

fn state_in(listing: &Listing) -> KeyState {
    let entry = listing.entries.first().cloned();
    entry.map_or(KeyState::Absent, KeyState::Present)
}

async fn hear_reread(reread: Option<&mut Reread>) -> Heard {
    match reread {
        Some(Reread::Pause(pause)) => {
            pause.await;
            Heard::RereadDue
        }
        Some(Reread::Sent { read, known }) => Heard::Reread {
            read: read.await,
            sent_at: *known,
        },
        None => std::future::pending().await,
    }
}

async fn read_later(
    registry: TimedRegistry,
    key: String,
    pause: Duration,
) -> Result<Listing, RegistryError> {
    registry.environment().sleep(pause).await;
    read(registry, key).await
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
