//! Drives a watch: carries out the decisions of the resume machine.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::StreamExt as _;

use super::event::WatchEvent;
use super::pause::WATCH_PAUSE;
use super::resume::{
    ResumeCommand, ViewEvent, WatchBreak, WatchResume, WatchedChange, WatchedEntry,
};
use crate::back_off::BackOff;
use crate::client::core::ClientCore;
use crate::environment::Timestamp;
use crate::registry::{
    Change, Entry, Kind, Registration, RegistryError, RegistryErrorKind, Selector, WatchStream,
    WatchUpdate,
};

/// A watch that was open for this long has lasted. This is longer than a registry takes to notice
/// that a watch is silent: a watch that never reports anything does not last.
const LASTED_AFTER: Duration = Duration::from_secs(10);

/// The driver of one watch. It is active only while it is asked for the next event.
pub(super) struct WatchDriver {
    core: Arc<ClientCore>,
    kind: Kind,
    prefix: String,
    selector: Selector,
    resume: WatchResume<Registration>,
    then: ResumeCommand,
    open: Option<OpenWatch>,
    /// The number of times that another history of the registry had been followed, as of the last
    /// listing.
    follows: usize,
    /// Events to report, of one batch or one listing: nothing more is read before they are
    /// reported.
    ready: VecDeque<WatchEvent>,
    pauses: BackOff,
}

/// A watch that the registry has established.
struct OpenWatch {
    changes: WatchStream,
    /// Completes when another history is followed since the last listing. The previous one may
    /// continue, and not report this.
    left: BoxFuture<'static, ()>,
    since: Timestamp,
    /// Whether the watch has reported changes, or that there are none.
    fruitful: bool,
}

impl WatchDriver {
    pub(super) fn new(core: Arc<ClientCore>, kind: Kind, prefix: String) -> Self {
        Self {
            follows: core.registry.follows(),
            core,
            kind,
            selector: Selector::Prefix(prefix.clone()),
            prefix,
            resume: WatchResume::new(),
            then: ResumeCommand::List,
            open: None,
            ready: VecDeque::new(),
            pauses: BackOff::new(WATCH_PAUSE),
        }
    }

    /// Returns everything that is registered now. Must be called first, and only once.
    pub(super) async fn begin(&mut self) -> Result<Vec<Registration>, RegistryError> {
        self.list().await?;
        let appeared = |event| match event {
            WatchEvent::Appeared(registration) => Some(registration),
            _ => None,
        };
        // Nothing was known before, so everything appears.
        Ok(self.ready.drain(..).filter_map(appeared).collect())
    }

    pub(super) async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            if let Err(error) = self.step().await {
                self.broken(&error).await;
            }
        }
    }

    async fn step(&mut self) -> Result<(), RegistryError> {
        if let Some(open) = &mut self.open {
            let update = tokio::select! {
                biased;
                () = &mut open.left => {
                    self.has_no_history();
                    return Ok(());
                }
                update = open.changes.next() => update,
            };
            let update = update.unwrap_or_else(|| Err(RegistryError::no_reply()))?;
            open.fruitful = true;
            match update {
                WatchUpdate::Changes(batch) => {
                    let batch = batch.into_iter().map(|change| self.read(change)).collect();
                    let events = self.resume.changed(batch);
                    self.ready.extend(events.into_iter().map(WatchEvent::from));
                }
                WatchUpdate::CompleteTo(revision) => self.resume.complete_to(revision),
            }
            return Ok(());
        }
        match self.then {
            ResumeCommand::List => self.list().await,
            // The revision belongs to another history.
            ResumeCommand::WatchFrom(_) if self.has_left() => {
                self.has_no_history();
                Ok(())
            }
            ResumeCommand::WatchFrom(revision) => {
                let registry = &self.core.registry;
                let selector = &self.selector;
                self.open = Some(OpenWatch {
                    changes: registry
                        .exchange(|backend| backend.watch(selector, revision))
                        .await?,
                    left: registry.followed_since(self.follows),
                    since: self.core.environment().now(),
                    fruitful: false,
                });
                Ok(())
            }
        }
    }

    async fn list(&mut self) -> Result<(), RegistryError> {
        let prefix = &self.prefix;
        self.follows = self.core.registry.follows();
        let listing = self
            .core
            .registry
            .exchange(|backend| backend.list(prefix))
            .await?;
        let held = listing
            .entries
            .into_iter()
            .filter_map(|entry| self.held(entry));
        let (events, then) = self.resume.listed(held.collect(), listing.revision);
        if let Some(ViewEvent::HistoryLost) = events.first() {
            tracing::debug!(prefix = self.prefix, "watch lost history and listed again");
        }
        self.ready.extend(events.into_iter().map(WatchEvent::from));
        self.then = then;
        Ok(())
    }

    /// Whether another history of the registry is followed since the last listing.
    fn has_left(&self) -> bool {
        self.follows != self.core.registry.follows()
    }

    fn has_no_history(&mut self) {
        self.open = None;
        self.then = self.resume.broken(WatchBreak::NoHistory);
    }

    /// Decides how to continue, and pauses before that.
    async fn broken(&mut self, error: &RegistryError) {
        let environment = self.core.environment().clone();
        let now = environment.now();
        let open = self.open.take();
        let lasted =
            open.is_some_and(|open| open.fruitful || now.since(open.since) >= LASTED_AFTER);
        if lasted {
            self.pauses.reset();
        }
        self.then = self.resume.broken(match error.kind() {
            RegistryErrorKind::Compacted
            | RegistryErrorKind::WrongCluster
            | RegistryErrorKind::Restored => WatchBreak::NoHistory,
            _ if self.has_left() => WatchBreak::NoHistory,
            _ if lasted => WatchBreak::Ended,
            _ => WatchBreak::Failed,
        });
        let pause = self.pauses.next(environment.random_unit());
        tracing::debug!(%error, prefix = self.prefix, then = ?self.then, ?pause, "watch broke");
        environment.sleep(pause).await;
    }

    fn held(&self, entry: Entry) -> Option<WatchedEntry<Registration>> {
        let value = self.core.registration(&entry, &self.prefix, self.kind)?;
        Some(WatchedEntry {
            key: entry.key,
            created: entry.created,
            modified: entry.modified,
            value,
        })
    }

    /// A value that cannot be decoded is treated as gone.
    fn read(&self, change: Change) -> WatchedChange<Registration> {
        let (key, revision) = (change.key().to_owned(), change.revision());
        let gone = WatchedChange::Gone { key, revision };
        match change {
            Change::Put(entry) => self.held(entry).map_or(gone, WatchedChange::Put),
            Change::Deleted { .. } => gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::environment::Simulation;
    use crate::registry::{MemoryRegistry, write};

    fn put(memory: &MemoryRegistry, name: &str) {
        let key = format!("test.mailbox.{name}");
        let value = write(&key, &"127.0.0.1:1".parse().unwrap(), &[], None, None);
        memory.overwrite(&key, value);
    }

    /// The previous registry continues to work, so that nothing breaks.
    #[tokio::test(start_paused = true)]
    async fn a_watch_follows_its_registry() {
        let environment = Simulation::new(7).environment();
        let [old, new] = [0; 2].map(|_| MemoryRegistry::new(&environment));
        let registry = old.registry();
        let client = Client::builder("test", registry.clone());
        let client = client.environment(environment).build();
        put(&old, "a");
        let (now, mut changes) = client.watch(Kind::Mailbox).await.unwrap();
        assert_eq!(now.len(), 1);
        let mut next = async || {
            let next = tokio::time::timeout(Duration::from_secs(10), changes.next());
            match next.await.expect("the watch is silent") {
                WatchEvent::Appeared(one) => format!("+{}", one.name),
                WatchEvent::Disappeared(one) => format!("-{}", one.name),
                WatchEvent::HistoryLost => "lost".to_owned(),
                other => panic!("{other:?}"),
            }
        };
        put(&old, "b");
        assert_eq!(next().await, "+b");
        put(&new, "c");
        let (events, ()) = tokio::join!(
            async { [next().await, next().await, next().await, next().await] },
            async {
                registry.follow_another(&new.registry());
                put(&old, "d");
            }
        );
        assert_eq!(events, ["lost", "-a", "-b", "+c"]);
        put(&new, "e");
        assert_eq!(next().await, "+e");
    }
}
