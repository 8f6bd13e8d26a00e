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

/// A handle on a coordination service: etcd, or the one embedded in the process. It is cheap to
/// clone, and clones share all state.
///
/// A handle is bound to the cluster that it was connected to, and to the history of that cluster.
/// Once the service is another cluster, or was restored to an earlier revision, every use fails as
/// [`WrongCluster`](RegistryErrorKind::WrongCluster) or [`Restored`](RegistryErrorKind::Restored),
/// because tokens from before cannot be compared with tokens from after.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<SharedRegistry>,
}

struct SharedRegistry {
    first: FollowedBackend,
    /// Notified when another cluster is followed.
    followed: watch::Sender<()>,
}

/// A backend, and the backend that was followed after it. As a list, so that a borrowed backend
/// stays valid; an operator follows only a few clusters, so keeping them all costs nothing.
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

    /// Returns another handle on the same service, which shares no connection with this one: see
    /// [`Backend::dedicated`].
    pub(crate) fn dedicated(&self) -> Self {
        Self::of(self.backend().dedicated())
    }

    /// Returns another handle on the current cluster, which does not follow when this one does.
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

    /// Returns the cluster that the handle was connected to, or that was last followed.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.backend().cluster()
    }

    /// Switches to another cluster at the same endpoints: this handle, all its clones, and the
    /// servers and clients that use them. Earlier names and tokens have no meaning there.
    ///
    /// This is for an operator who has replaced the cluster on purpose. It never happens
    /// automatically, because tokens of the new cluster cannot be compared with tokens of the old
    /// one; resources that check tokens have to forget the old ones. A server in the old cluster is
    /// fenced and joins the new one; a client looks up its locations again. Does nothing if the
    /// handle is in that cluster already.
    ///
    /// # Errors
    ///
    /// - [`WrongCluster`](RegistryErrorKind::WrongCluster): the endpoints belong to a cluster other
    ///   than `cluster`.
    /// - [`Restored`](RegistryErrorKind::Restored): the handle was in this cluster before, and the
    ///   cluster has been restored to an earlier revision since then, so comparing tokens would
    ///   give wrong results. Restore it again with a higher revision (`etcdutl snapshot restore
    ///   --bump-revision`), or restart every process of the grid and make resources that check
    ///   tokens forget the old ones.
    /// - Other errors, as for [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the switch has happened or not.
    pub async fn follow_cluster(&self, cluster: ClusterId) -> Result<(), RegistryError> {
        loop {
            let last = self.last();
            let backend = &last.backend;
            if backend.cluster() == cluster && !backend.restored().is_cancelled() {
                return Ok(());
            }
            let next = backend.follow(cluster).await?;
            if self.switch_to(last, next) {
                tracing::warn!(%cluster, "the registry now follows another cluster");
                return Ok(());
            }
            // Another caller was faster, possibly with another cluster.
        }
    }

    /// Switches to the next backend. Returns false if another one already follows the last one.
    fn switch_to(&self, last: &FollowedBackend, next: Arc<dyn Backend>) -> bool {
        let next = Box::new(FollowedBackend::new(next));
        let went = last.next.set(next).is_ok();
        if went {
            self.shared.followed.send_replace(());
        }
        went
    }

    /// Switches to the registry of another handle, while the previous registry still works.
    #[cfg(test)]
    pub(crate) fn follow_another(&self, other: &Self) {
        assert!(self.switch_to(self.last(), other.last().backend.clone()));
    }

    /// Returns how often another history was followed. Anything known before is meaningless
    /// afterwards.
    pub(crate) fn follows(&self) -> usize {
        let mut follows = 0;
        let mut last = &self.shared.first;
        while let Some(next) = last.next.get() {
            last = next;
            follows += 1;
        }
        follows
    }

    /// Waits until another history is followed than when the other handle was
    /// [pinned](Self::pinned). It may belong to the same cluster.
    pub(crate) async fn left(&self, pinned: &Self) {
        let pinned = &pinned.last().backend;
        self.wait_until(|| !Arc::ptr_eq(&self.last().backend, pinned))
            .await;
    }

    /// Waits until the number of followed histories is no longer `follows`: see
    /// [`follows`](Self::follows).
    pub(crate) async fn followed_since(&self, follows: usize) {
        self.wait_until(|| self.follows() != follows).await;
    }

    /// Waits until a condition holds that changes only when another history is followed.
    async fn wait_until(&self, condition: impl Fn() -> bool) {
        let mut followed = self.shared.followed.subscribe();
        while !condition() {
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
