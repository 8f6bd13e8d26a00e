//! What drives a watch: it carries out what the resume machine says.

use std::collections::VecDeque;

use futures_util::StreamExt as _;

use super::Client;
use super::watch::WatchEvent;
use super::watch_pause::{Pauses, STOOD};
use super::watch_resume::{self, Break, Command, Event, Held, WatchResume};
use crate::environment::Timestamp;
use crate::registry::{
    Change, Entry, Kind, Registration, RegistryError, RegistryErrorKind, Selector, WatchStream,
};

/// The driver of one watch. It does something only while it is asked for the next event.
pub(super) struct Watcher {
    client: Client,
    kind: Kind,
    prefix: String,
    selector: Selector,
    resume: WatchResume<Registration>,
    then: Command,
    open: Option<Open>,
    /// What is not told yet: of one batch or one listing, as nothing more is read before it is.
    ready: VecDeque<WatchEvent>,
    pauses: Pauses,
}

/// A watch that the registry has taken.
struct Open {
    changes: WatchStream,
    since: Timestamp,
    /// It has told changes.
    told: bool,
}

impl Watcher {
    pub(super) fn new(client: Client, kind: Kind, prefix: String) -> Self {
        Self {
            client,
            kind,
            selector: Selector::Prefix(prefix.clone()),
            prefix,
            resume: WatchResume::new(),
            then: Command::List,
            open: None,
            ready: VecDeque::new(),
            pauses: Pauses::new(),
        }
    }

    /// All that is registered now. Called first, and once.
    pub(super) async fn begin(&mut self) -> Result<Vec<Registration>, RegistryError> {
        self.list().await?;
        let appeared = |event| match event {
            WatchEvent::Appeared(registration) => Some(registration),
            _ => None,
        };
        // Where nothing was known, everything appears.
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
            let batch = open.changes.next().await;
            let batch = batch.unwrap_or_else(|| Err(RegistryError::no_reply()))?;
            open.told = true;
            let batch = batch.into_iter().map(|change| self.read(change)).collect();
            let events = self.resume.changed(batch);
            self.ready.extend(events.into_iter().map(WatchEvent::from));
            return Ok(());
        }
        match self.then {
            Command::List => self.list().await,
            Command::WatchFrom(revision) => {
                let inner = &self.client.inner;
                let watch = inner.registry.backend().watch(&self.selector, revision);
                self.open = Some(Open {
                    changes: self.client.bounded(watch).await?,
                    since: inner.environment.now(),
                    told: false,
                });
                Ok(())
            }
        }
    }

    async fn list(&mut self) -> Result<(), RegistryError> {
        let list = self.client.inner.registry.backend().list(&self.prefix);
        let listing = self.client.bounded(list).await?;
        let held = listing
            .entries
            .into_iter()
            .filter_map(|entry| self.held(entry));
        let (events, then) = self.resume.listed(held.collect(), listing.revision);
        if let Some(Event::HistoryLost) = events.first() {
            tracing::debug!(prefix = self.prefix, "watch lost history and has listed");
        }
        self.ready.extend(events.into_iter().map(WatchEvent::from));
        self.then = then;
        Ok(())
    }

    /// Decides how to go on, and waits before that.
    async fn broken(&mut self, error: &RegistryError) {
        let environment = self.client.inner.environment.clone();
        let now = environment.now();
        let open = self.open.take();
        let stood = open.is_some_and(|open| open.told || now.since(open.since) >= STOOD);
        if stood {
            self.pauses.stood();
        }
        self.then = self.resume.broken(match error.kind() {
            RegistryErrorKind::Compacted | RegistryErrorKind::WrongCluster => Break::NoHistory,
            _ if stood => Break::Ended,
            _ => Break::Failed,
        });
        let pause = self.pauses.next(environment.random_unit());
        tracing::debug!(%error, prefix = self.prefix, then = ?self.then, ?pause, "watch broke");
        environment.sleep(pause).await;
    }

    fn held(&self, entry: Entry) -> Option<Held<Registration>> {
        let value = self.client.registration(&entry, &self.prefix, self.kind)?;
        Some(Held {
            key: entry.key,
            created: entry.created,
            modified: entry.modified,
            value,
        })
    }

    /// A value that cannot be read is as good as gone.
    fn read(&self, change: Change) -> watch_resume::Change<Registration> {
        let (key, revision) = (change.key().to_owned(), change.revision());
        let gone = watch_resume::Change::Gone { key, revision };
        match change {
            Change::Put(entry) => self.held(entry).map_or(gone, watch_resume::Change::Put),
            Change::Deleted { .. } => gone,
        }
    }
}

impl From<Event<Registration>> for WatchEvent {
    fn from(event: Event<Registration>) -> Self {
        match event {
            Event::HistoryLost => Self::HistoryLost,
            Event::Appeared(registration) => Self::Appeared(registration),
            Event::Changed(registration) => Self::Changed(registration),
            Event::Disappeared(registration) => Self::Disappeared(registration),
        }
    }
}
