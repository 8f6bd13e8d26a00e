//! Changes of who is registered.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::stream;

use super::Client;
use super::query::failed;
use super::watch_pause::{Pauses, STOOD};
use super::watcher::Watcher;
use crate::error::RequestError;
use crate::name::Name;
use crate::registry::{Change, Kind, Registration, RegistryError, Selector, keys};

/// A change of who is registered.
#[doc(alias = "QueryEvent")]
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WatchEvent {
    /// There is a new holder of a name.
    Appeared(Registration),
    /// The same holder has registered other data: these.
    Changed(Registration),
    /// The holder is gone: its registration as it was last, its peer included.
    Disappeared(Registration),
    /// Changes may have been skipped: who came and went meanwhile is not told. What follows is
    /// exactly the difference between what was told before and what is registered now, so who
    /// keeps a view of the grid need not do anything; who counts changes has missed some.
    ///
    /// The reader was too slow and the history that it had still to read was compacted, or the
    /// registry was away for more than about half a second. A break that is healed sooner is
    /// bridged without a loss, and not told.
    HistoryLost,
}

/// The changes of who is registered, from a revision on, for as long as it is kept.
///
/// It survives failures of the registry. After a short break it goes on where it was; where the
/// history from there on is gone, or it is in doubt whether it is all there, it lists again, says
/// [`HistoryLost`](WatchEvent::HistoryLost) and gives exactly the difference. No change comes
/// twice, and none out of order. A break is tried to be healed after 0.1 s, and after longer
/// pauses, up to 5 s, while the registry does not take a watch or drops it at once.
///
/// It holds no task and reads only when it is asked for the next event; dropped, it ends. One that
/// is not read holds up nobody, and holds
///
/// - a copy of each registration that was told, to know what changes and what is gone,
/// - on etcd, up to 1 MiB that etcd has sent ahead (then etcd keeps the changes, until they are
///   compacted),
/// - the events of one message of etcd (at most about 2 MiB, unless etcd is set to take larger
///   requests) or of one revision if that is more, or those of one listing.
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
    /// ```no_run
    /// # async fn run(client: actorgrid::Client) -> Result<(), actorgrid::BoxError> {
    /// use actorgrid::{Kind, WatchEvent};
    /// use std::collections::HashMap;
    ///
    /// let (now, mut changes) = client.watch(Kind::Mailbox).await?;
    /// let mut view: HashMap<_, _> = now.into_iter().map(|it| (it.name.clone(), it)).collect();
    /// loop {
    ///     match changes.next().await {
    ///         WatchEvent::Appeared(it) | WatchEvent::Changed(it) => {
    ///             view.insert(it.name.clone(), it);
    ///         }
    ///         WatchEvent::Disappeared(it) => {
    ///             println!("{} left {}", it.name, it.peer);
    ///             view.remove(&it.name);
    ///         }
    ///         // The difference follows; the view will be right.
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Registry`](crate::RequestErrorKind::Registry) when it does not answer to the first
    /// listing within 2 s.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    #[doc(alias = "QueryWatch")]
    pub async fn watch(&self, kind: Kind) -> Result<(Vec<Registration>, Watch), RequestError> {
        let prefix = keys::prefix(self.namespace()?, kind);
        let mut watcher = Watcher::new(self.clone(), kind, prefix);
        let now = watcher.begin().await.map_err(|error| failed(&error))?;
        let events = stream::unfold(watcher, |mut watcher| async move {
            let event = watcher.next().await;
            Some((event, watcher))
        });
        let events = events.boxed();
        Ok((now, Watch { events }))
    }

    /// Ends when this name is registered.
    pub(super) async fn wait_for(&self, kind: Kind, name: &Name) -> Result<(), RequestError> {
        let key = keys::of(self.namespace()?, kind, name);
        let backend = self.inner.registry.backend();
        let environment = &self.inner.environment;
        let mut pauses = Pauses::new();
        loop {
            let begun = environment.now();
            let waited = async {
                let read = self.bounded(backend.read(&key)).await?;
                if !read.entries.is_empty() {
                    return Ok(());
                }
                let selector = Selector::Key(key.clone());
                let mut changes = self
                    .bounded(backend.watch(&selector, read.revision.next()))
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
            if environment.now().since(begun) >= STOOD {
                pauses.stood();
            }
            let pause = pauses.next(environment.random_unit());
            environment.sleep(pause).await;
        }
    }
}
