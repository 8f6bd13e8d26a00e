//! Follows one key over the failures of its watch.

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

/// The states of one key: the present one, and then each that follows, in their order.
///
/// It reads the key, and watches it from the revision of the read on. When the watch breaks, or
/// the read fails, it backs off and reads again: then changes meanwhile may be missing, but the
/// state that is there now is not. No state comes after a later one.
///
/// A watch may miss a change without an error. Where that matters, the key is
/// [read again](Self::reread_every) beside the watch.
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
    /// The most time between two reads of the key, if it is read beside its watch.
    reread: Option<BackOffPolicy>,
    /// Another history of the registry is followed than the one that is watched, which may go on.
    left: BoxFuture<'static, ()>,
}

type Reading = BoxFuture<'static, Result<Listing, RegistryError>>;

/// The exchanges are kept: a caller that is often done sooner would otherwise begin them again and
/// again, and never see them end.
enum Stage {
    /// A read of the key on its way, the pause before it included.
    Read(Reading),
    /// A watch that is being opened.
    Open(BoxFuture<'static, Result<WatchStream, RegistryError>>),
    Watch {
        changes: WatchStream,
        since: Timestamp,
        /// It has given changes, or said that there are none.
        proven: bool,
        /// The next read beside it.
        reread: Option<Reread>,
    },
}

/// A read beside a watch.
enum Reread {
    /// The pause before it.
    Pause(BoxFuture<'static, ()>),
    Sent {
        read: Reading,
        /// The revision that was known when it was sent. The watch may report more meanwhile.
        known: Option<Revision>,
    },
}

/// What comes first.
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

    /// Reads the key again at this age of what is known, less a random quarter at the most, though
    /// its watch reports nothing. If it has changed, the watch is not trusted any longer: the state
    /// that was read counts, and another watch takes over from there.
    ///
    /// So a change is noticed within `age` and the time of one exchange, whatever the watch misses.
    /// States in between may be skipped.
    pub(crate) fn reread_every(mut self, age: Duration) -> Self {
        self.reread = Some(BackOffPolicy::new(age, age, RandomShare::Quarter));
        self
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
            let heard = tokio::select! {
                biased;
                () = &mut self.left => Heard::Left,
                heard = self.stage.hear() => heard,
            };
            // The outcome is kept without another await.
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

    /// Nothing of what is known holds in another history.
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
                    reread: self.reread.map(|age| self.read_after(age)),
                }
            }
            Err(error) => self.has_broken(&error),
        }
    }

    /// A read of the key after the first pause of a policy.
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

    /// The key was read while its watch was open. `sent_at` is the revision that was known when
    /// the read was sent.
    fn has_reread(&mut self, read: Result<Listing, RegistryError>, sent_at: Option<Revision>) {
        let next = match read {
            Ok(listing) if !self.is_known(&listing, sent_at) => {
                tracing::debug!(key = self.key, "a read found what no watch has reported");
                return self.has_read(Ok(listing));
            }
            Ok(_) => self.reread,
            Err(error) => {
                tracing::debug!(%error, key = self.key, "a watched key could not be read");
                Some(self.policy)
            }
        };
        let next = next.map(|policy| self.read_after(policy));
        if let Stage::Watch { reread, .. } = &mut self.stage {
            *reread = next;
        }
    }

    /// Whether a read beside the watch found nothing but what is known. An absent key may have come
    /// and gone, which the watch is still to report.
    fn is_known(&self, listing: &Listing, sent_at: Option<Revision>) -> bool {
        let (Some(sent_at), Some(known)) = (sent_at, self.known) else {
            return false;
        };
        if listing.revision < sent_at {
            // The registry went back: a read is linearizable.
            return false;
        }
        if listing.revision < known {
            // The watch has reported a later state while the answer was on its way.
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
            // What follows a break is a read, which needs no revision.
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
