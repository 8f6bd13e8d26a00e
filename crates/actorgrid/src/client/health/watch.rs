//! Watches of a peer's health.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::stream;

use super::health::Health;
use super::watcher::HealthWatcher;
use crate::client::client::Client;
use crate::environment::Deadline;
use crate::error::{RequestError, RequestErrorKind};
use crate::name::IntoName;

/// The health of one peer as it changes, for as long as it is kept.
///
/// It gives the state now, and then each change; never the same twice in a row. It survives
/// everything: a peer that is not registered yet, that cannot be reached, that is gone and comes
/// back under the same name, and a registry that is away. While it cannot watch, it tries again
/// after 100 ms, doubled up to 5 s, of which a random half is left out; a peer that registers is
/// tried at once.
///
/// A peer that is frozen, or cut off from the network, is noticed within 9 s: its connection is
/// probed every 5 s and ends when it does not answer for 2 s; then it is tried again for 2 s. One
/// that still answers probes, but no calls, is not. Peers of the Go library do not let themselves
/// be probed so often: of them it is noticed when their connection breaks.
///
/// A reader that is too slow loses the history of changes, not their result. It holds no task:
/// dropped, it ends. Each takes one of the 4,096 streams that a peer allows on a connection, which
/// requests need too.
pub struct HealthWatch {
    states: Pin<Box<dyn Stream<Item = Health> + Send>>,
}

impl HealthWatch {
    /// The next state. None: the client is closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Health> {
        self.states.next().await
    }
}

impl Stream for HealthWatch {
    type Item = Health;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Health>> {
        self.states.poll_next_unpin(cx)
    }
}

impl fmt::Debug for HealthWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthWatch").finish_non_exhaustive()
    }
}

impl Client {
    /// Watches whether a peer (by its name or its registration) serves; it need not exist yet.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](RequestErrorKind::InvalidName), for the peer's name and for the client's
    /// namespace. Nothing else: see [`HealthWatch`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), actorgrid::BoxError> {
    /// use actorgrid::{Health, Registry, Server};
    ///
    /// let server = Server::builder("mygrid", Registry::connect("memory:").await?)
    ///     .bind("127.0.0.1:0")
    ///     .await?;
    /// let mut health = server.client().watch_health(server.peer())?;
    /// assert_eq!(health.next().await, Some(Health::Serving));
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch_health(&self, peer: impl IntoName) -> Result<HealthWatch, RequestError> {
        self.core().namespace()?;
        let peer = peer
            .into_name()
            .map_err(|error| RequestError::invalid_name(&error))?;
        let watcher = HealthWatcher::new(self.core().clone(), peer);
        let states = stream::unfold(watcher, |mut watcher| async move {
            let health = watcher.next().await?;
            Some((health, watcher))
        });
        Ok(HealthWatch {
            states: states.fuse().boxed(),
        })
    }

    /// Waits until a peer (by its name or its registration) serves, at most for `deadline` (and for
    /// [`MAX_DEADLINE`](crate::MAX_DEADLINE)). It need not exist yet.
    ///
    /// # Errors
    ///
    /// [`DeadlineExceeded`](RequestErrorKind::DeadlineExceeded), and its text says what the peer
    /// was last; [`InvalidName`](RequestErrorKind::InvalidName);
    /// [`ClientClosed`](RequestErrorKind::ClientClosed).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_until_serving(
        &self,
        peer: impl IntoName,
        deadline: Duration,
    ) -> Result<(), RequestError> {
        let peer = peer
            .into_name()
            .map_err(|error| RequestError::invalid_name(&error))?;
        let mut states = self.watch_health(&peer)?;
        let mut last = None;
        let serves = async {
            loop {
                match states.next().await {
                    Some(Health::Serving) => return Ok(()),
                    Some(other) => last = Some(other),
                    None => return self.core().pool.check_open(),
                }
            }
        };
        if let Some(served) = Deadline::after(deadline).bound(serves).await {
            return served;
        }
        let last = match last {
            Some(health) => format!("its health is {health}"),
            None => "nothing was learnt of it".to_owned(),
        };
        Err(RequestError::refused(
            RequestErrorKind::DeadlineExceeded,
            format!("the peer {peer} does not serve within {deadline:?}: {last}"),
        ))
    }
}
