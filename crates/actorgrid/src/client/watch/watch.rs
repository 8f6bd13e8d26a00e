//! Watches: who is registered, and each change from then on.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::stream;

use super::driver::WatchDriver;
use super::event::WatchEvent;
use crate::client::client::Client;
use crate::client::lookup::registry_failed;
use crate::error::RequestError;
use crate::registry::{Kind, Registration, keys};

/// The changes of who is registered, from a revision on, for as long as it is kept.
///
/// It survives failures of the registry. After a short break it goes on where it was; where the
/// history from there on is gone, or it is in doubt whether it is all there, it lists again, says
/// [`HistoryLost`](WatchEvent::HistoryLost) and gives exactly the difference. No change comes
/// twice, and none out of order. A break is tried to be healed after 0.1 s, and after longer
/// pauses, up to 5 s, while the registry does not take a watch or drops it at once. An etcd from
/// which nothing comes for 5 s is asked for a sign of life; 2 s without one are a break, and so
/// are more changes meanwhile than are held back (see below).
///
/// It holds no task and reads only when it is asked for the next event; dropped, it ends. One that
/// is not read holds up nobody, and holds
///
/// - a copy of each registration that was reported, to know what changes and what is gone,
/// - on etcd, up to 1 MiB that etcd has sent ahead (then etcd keeps the changes, until they are
///   compacted), and up to 16 messages of together 1 MiB that came while it was asked for a sign of
///   life, and wait for the answer,
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
        let core = self.core();
        let prefix = keys::prefix(core.namespace()?, kind);
        let mut driver = WatchDriver::new(core.clone(), kind, prefix);
        let now = driver.begin().await.map_err(registry_failed)?;
        let events = stream::unfold(driver, |mut driver| async move {
            let event = driver.next().await;
            Some((event, driver))
        });
        let events = events.boxed();
        Ok((now, Watch { events }))
    }
}
