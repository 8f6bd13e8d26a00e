//! The handle on a coordination service.

use std::fmt;
use std::future::pending;
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::backend::Backend;
use super::error::RegistryError;
#[cfg(doc)]
use super::error_kind::RegistryErrorKind;
use crate::token::ClusterId;

/// A handle on a coordination service: etcd, or the one embedded in the process. Cheap to clone;
/// clones share it.
///
/// It keeps to the cluster that it was connected to, and to its history: once the service is another
/// cluster, or was restored to an earlier revision, every use fails as
/// [`WrongCluster`](RegistryErrorKind::WrongCluster) or [`Restored`](RegistryErrorKind::Restored).
/// Tokens from before do not compare with those from after.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<SharedRegistry>,
}

struct SharedRegistry {
    first: FollowedBackend,
    /// Changes when another cluster is followed.
    followed: watch::Sender<()>,
}

/// A backend, and the one that was followed after it. So one that is borrowed stays where it is;
/// the few that an operator ever follows cost nothing.
struct FollowedBackend {
    backend: Arc<dyn Backend>,
    next: OnceLock<Box<Self>>,
}

impl FollowedBackend {
    fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            next: OnceLock::new(),
        }
    }
}

impl Registry {
    pub(crate) fn of(backend: Arc<dyn Backend>) -> Self {
        let shared = SharedRegistry {
            first: FollowedBackend::new(backend),
            followed: watch::Sender::new(()),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Another handle on the same service, which shares no connection with this one: see
    /// [`Backend::dedicated`].
    pub(crate) fn dedicated(&self) -> Self {
        Self::of(self.backend().dedicated())
    }

    /// Another handle on the present cluster, which follows no other one.
    pub(crate) fn pinned(&self) -> Self {
        Self::of(self.last().backend.clone())
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.last().backend
    }

    fn last(&self) -> &FollowedBackend {
        let mut last = &self.shared.first;
        while let Some(next) = last.next.get() {
            last = next;
        }
        last
    }

    /// The cluster: the one that the handle was connected to, or that was last followed.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.backend().cluster()
    }

    /// Goes to another cluster at the same endpoints: this handle, all its clones, and the servers
    /// and clients that were made with them. Names and tokens of before mean nothing there.
    ///
    /// For an operator who has replaced the cluster on purpose: nothing does so by itself, as no
    /// token of the new cluster compares with one of the old. Whoever checks tokens has to forget
    /// the old ones. A server that serves in the old cluster is fenced, and joins the new one; a
    /// client looks its locations up again. Where the handle is in that cluster already, this does
    /// nothing.
    ///
    /// # Errors
    ///
    /// - [`WrongCluster`](RegistryErrorKind::WrongCluster): the endpoints belong to another cluster
    ///   than this.
    /// - [`Restored`](RegistryErrorKind::Restored): the handle was in this cluster before, and it
    ///   was restored to an earlier revision since then. Tokens would compare falsely. Restore it
    ///   anew with a higher one (`etcdutl snapshot restore --bump-revision`), or restart every
    ///   process of the grid, and let whoever checks tokens forget the old ones.
    /// - Others, as of connecting.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has gone there or not.
    pub async fn follow_cluster(&self, cluster: ClusterId) -> Result<(), RegistryError> {
        loop {
            let last = self.last();
            let backend = &last.backend;
            if backend.cluster() == cluster && !backend.restored().is_cancelled() {
                return Ok(());
            }
            let next = backend.follow(cluster).await?;
            if self.go_on(last, next) {
                tracing::warn!(%cluster, "another cluster of the registry is followed");
                return Ok(());
            }
            // Another caller was faster, perhaps with another cluster.
        }
    }

    /// Goes to the next backend, unless there is one behind the last one already.
    fn go_on(&self, last: &FollowedBackend, next: Arc<dyn Backend>) -> bool {
        let next = Box::new(FollowedBackend::new(next));
        let went = last.next.set(next).is_ok();
        if went {
            self.shared.followed.send_replace(());
        }
        went
    }

    /// Goes where another handle is, while the registry of before is still there.
    #[cfg(test)]
    pub(crate) fn follow_another(&self, other: &Self) {
        assert!(self.go_on(self.last(), other.last().backend.clone()));
    }

    /// How often another history was followed. What was known before means nothing after it.
    pub(crate) fn follows(&self) -> usize {
        let mut follows = 0;
        let mut last = &self.shared.first;
        while let Some(next) = last.next.get() {
            last = next;
            follows += 1;
        }
        follows
    }

    /// Ends once another history is followed than when the other handle was [pinned](Self::pinned).
    /// It may be one of the same cluster.
    pub(crate) async fn left(&self, pinned: &Self) {
        let pinned = &pinned.last().backend;
        self.until(|| !Arc::ptr_eq(&self.last().backend, pinned))
            .await;
    }

    /// Ends once another history was followed more [often](Self::follows) than this.
    pub(crate) async fn followed_since(&self, follows: usize) {
        self.until(|| self.follows() != follows).await;
    }

    /// Ends when something is so that changes only when another history is followed.
    async fn until(&self, is_so: impl Fn() -> bool) {
        let mut followed = self.shared.followed.subscribe();
        while !is_so() {
            if followed.changed().await.is_err() {
                pending::<()>().await;
            }
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.cluster()).finish()
    }
}
