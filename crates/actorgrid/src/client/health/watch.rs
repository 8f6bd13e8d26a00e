//! Health watches: whether a peer serves, as it changes.

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

/// The health of one peer as it changes, for as long as the watch is kept.
///
/// The watch yields the current state, and then each change; never the same state twice in a row.
/// It survives every failure: a peer that is not registered yet, that cannot be reached, that is
/// gone and comes back under the same name, and an unavailable registry. While the peer cannot be
/// watched, the watch retries after 100 ms, doubled up to 5 s, less a random share of up to half; a
/// peer that registers is tried at once.
///
/// A peer that is frozen, or cut off from the network, is noticed within 9 s: its connection is
/// probed every 5 s and ends if it does not answer for 2 s; then connecting is tried for 2 s. A
/// peer that still answers probes, but no calls, is not noticed. Peers of the Go library do not
/// allow such frequent probes: their failure is noticed when their connection breaks.
///
/// A reader that is too slow loses the history of changes, but not the current state. The watch has
/// no task: dropping it ends it. Each watch takes one of the 1,024 streams that a peer allows on a
/// connection by default, which requests need too.
pub struct HealthWatch {
    states: Pin<Box<dyn Stream<Item = Health> + Send>>,
}

impl HealthWatch {
    /// Waits for the next state. Returns `None` once the client is closed. Cancel safe.
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
    /// Watches whether a peer (by its name or its registration) serves; the peer need not exist
    /// yet.
    ///
    /// # Errors
    ///
    /// Fails only with [`InvalidName`](RequestErrorKind::InvalidName), for the peer's name or for
    /// the client's namespace. All other failures are states of the [`HealthWatch`].
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

    /// Waits until a peer (by its name or its registration) serves, but at most for `deadline` (and
    /// for [`MAX_DEADLINE`](crate::MAX_DEADLINE)). The peer need not exist yet.
    ///
    /// # Errors
    ///
    /// - [`DeadlineExceeded`](RequestErrorKind::DeadlineExceeded) after that time; its text
    ///   contains the last known health of the peer;
    /// - [`InvalidName`](RequestErrorKind::InvalidName) for the peer's name or the client's
    ///   namespace;
    /// - [`ClientClosed`](RequestErrorKind::ClientClosed) if the client is closed.
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
            None => "its health was not determined in time".to_owned(),
        };
        Err(RequestError::refused(
            RequestErrorKind::DeadlineExceeded,
            format!("the peer {peer} did not serve within {deadline:?}: {last}"),
        ))
    }
}
