//! Watches: the registrations of one kind, and each change from then on.

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

/// The changes of registrations, from a revision on, for as long as the watch is kept.
///
/// A watch survives failures of the registry. After a short break it resumes where it was; if the
/// history from there on is gone, or may be incomplete, it lists again, reports
/// [`HistoryLost`](WatchEvent::HistoryLost) and then exactly the difference. No change is reported
/// twice, and none out of order. After a break the watch is reopened after 0.1 s, and after longer
/// pauses, up to 5 s, while the registry does not establish a watch or drops it at once. If etcd
/// sends nothing for 5 s, it is asked for a sign of life; 2 s without one count as a break, and so
/// do more changes meanwhile than are held back (see below).
///
/// It has no task and reads only when it is asked for the next event; dropping it ends it. A watch
/// that is not read delays nobody, and holds
///
/// - a copy of each reported registration, to know what changes and what is gone,
/// - on etcd, up to 1 MiB that etcd has sent ahead (beyond that, etcd keeps the changes until they
///   are compacted), and up to 16 messages, together at most 1 MiB, that arrived while etcd was
///   asked for a sign of life, and that wait for its answer,
/// - the events of one message of etcd (at most about 2 MiB, unless etcd is configured to accept
///   larger requests), or of one revision if that is more, or of one listing.
pub struct Watch {
    events: Pin<Box<dyn Stream<Item = WatchEvent> + Send>>,
}

impl Watch {
    /// Waits for the next change, also while the registry is unavailable. Cancel safe.
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
    /// Returns all registrations of one kind, and a watch of their changes from then on.
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
    ///         // The difference follows; the view will be correct.
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Fails with [`Registry`](crate::RequestErrorKind::Registry) if the registry does not answer
    /// the first listing within the [registry timeout](crate::ClientBuilder::registry_timeout), 2 s
    /// by default.
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
