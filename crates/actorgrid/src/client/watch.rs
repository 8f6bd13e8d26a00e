//! Changes of who is registered.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::stream;

use super::Client;
use super::query::failed;
use super::watch_resume::{self, Command, Event, Held, WatchResume};
use crate::error::RequestError;
use crate::name::Name;
use crate::registry::{
    self, Change, Entry, Kind, Registration, RegistryError, Selector, WatchStream, keys,
};

/// The pauses before a watch that failed is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// A change of who is registered.
#[doc(alias = "QueryEvent")]
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WatchEvent {
    /// There is a new holder of a name.
    Appeared(Registration),
    /// The same holder has registered other data: these.
    Changed(Registration),
    /// The holder is gone: its registration as it was last.
    Disappeared(Registration),
}

/// The changes of who is registered, from a revision on, for as long as it is kept.
///
/// It survives failures of the registry: after each break it lists again and gives exactly the
/// difference. A reader that is too slow loses the history of changes, not their result. It holds
/// no task: dropped, it ends.
pub struct Watch {
    events: Pin<Box<dyn Stream<Item = WatchEvent> + Send>>,
}

impl Watch {
    /// The next change. Waits while the registry is away. Cancel safe.
    pub async fn next(&mut self) -> WatchEvent {
        match self.events.next().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

impl Stream for Watch {
    type Item = WatchEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        self.events.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Client {
    /// All registrations of one kind, and their changes from then on.
    ///
    /// # Errors
    ///
    /// [`Registry`](crate::RequestErrorKind::Registry) when it does not answer to the first
    /// listing.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    #[doc(alias = "QueryWatch")]
    pub async fn watch(&self, kind: Kind) -> Result<(Vec<Registration>, Watch), RequestError> {
        let prefix = keys::prefix(self.namespace()?, kind);
        let mut watcher = Watcher {
            client: self.clone(),
            kind,
            selector: Selector::Prefix(prefix.clone()),
            prefix,
            resume: WatchResume::new(),
            then: Command::List,
            changes: None,
            ready: VecDeque::new(),
            pause: Duration::ZERO,
        };
        watcher.list().await.map_err(|error| failed(&error))?;
        let now = watcher.ready.drain(..).map(registration_of).collect();
        let events = stream::unfold(watcher, |mut watcher| async move {
            let event = watcher.next().await;
            Some((event, watcher))
        });
        Ok((
            now,
            Watch {
                events: events.boxed(),
            },
        ))
    }

    /// Ends when a mailbox of this name is registered.
    pub(super) async fn wait_for_mailbox(&self, name: &Name) -> Result<(), RequestError> {
        let key = keys::of(self.namespace()?, Kind::Mailbox, name);
        let backend = self.inner.registry.backend();
        let mut pause = FIRST_PAUSE;
        loop {
            let waited = async {
                let listing = self.bounded(backend.list(&key)).await?;
                if listing.entries.iter().any(|entry| entry.key == key) {
                    return Ok(());
                }
                let selector = Selector::Key(key.clone());
                let mut changes = self
                    .bounded(backend.watch(&selector, listing.revision + 1))
                    .await?;
                while let Some(batch) = changes.next().await {
                    if batch?.iter().any(|change| matches!(change, Change::Put(_))) {
                        return Ok(());
                    }
                }
                Err(RegistryError::no_reply())
            };
            if waited.await.is_ok() {
                return Ok(());
            }
            self.inner.environment.sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}

fn registration_of(event: WatchEvent) -> Registration {
    match event {
        WatchEvent::Appeared(registration)
        | WatchEvent::Changed(registration)
        | WatchEvent::Disappeared(registration) => registration,
    }
}

impl From<Event<Registration>> for WatchEvent {
    fn from(event: Event<Registration>) -> Self {
        match event {
            Event::Appeared(registration) => Self::Appeared(registration),
            Event::Changed(registration) => Self::Changed(registration),
            Event::Disappeared(registration) => Self::Disappeared(registration),
        }
    }
}

/// Carries out what the resume machine says, when it is asked for the next event.
struct Watcher {
    client: Client,
    kind: Kind,
    prefix: String,
    selector: Selector,
    resume: WatchResume<Registration>,
    then: Command,
    changes: Option<WatchStream>,
    ready: VecDeque<WatchEvent>,
    pause: Duration,
}

impl Watcher {
    async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            if let Err(error) = self.step().await {
                tracing::debug!(%error, prefix = self.prefix, "watch is resumed");
                self.changes = None;
                self.then = self.resume.broken();
                self.client.inner.environment.sleep(self.pause).await;
                self.pause = (self.pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE);
            }
        }
    }

    async fn step(&mut self) -> Result<(), RegistryError> {
        if let Some(changes) = &mut self.changes {
            let batch = changes
                .next()
                .await
                .unwrap_or_else(|| Err(RegistryError::no_reply()))?;
            let batch = batch.into_iter().map(|change| self.read(change)).collect();
            let events = self.resume.changed(batch);
            self.ready.extend(events.into_iter().map(WatchEvent::from));
            self.pause = Duration::ZERO;
            return Ok(());
        }
        match self.then {
            Command::List => self.list().await,
            Command::WatchFrom(revision) => {
                let watch = self
                    .client
                    .inner
                    .registry
                    .backend()
                    .watch(&self.selector, revision);
                self.changes = Some(self.client.bounded(watch).await?);
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
        self.ready.extend(events.into_iter().map(WatchEvent::from));
        self.then = then;
        Ok(())
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
    fn read(&self, change: registry::Change) -> watch_resume::Change<Registration> {
        let (key, revision) = (change.key().to_owned(), change.revision());
        let gone = watch_resume::Change::Gone { key, revision };
        match change {
            Change::Put(entry) => self.held(entry).map_or(gone, watch_resume::Change::Put),
            Change::Deleted { .. } => gone,
        }
    }
}
