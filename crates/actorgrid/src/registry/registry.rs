//! The handle on a coordination service.

use std::fmt;
use std::sync::Arc;

use super::backend::Backend;

/// A handle on a coordination service: etcd, or the one embedded in the process. Cheap to clone;
/// clones share it.
#[derive(Clone)]
pub struct Registry {
    backend: Arc<dyn Backend>,
}

impl Registry {
    pub(crate) fn of(backend: Arc<dyn Backend>) -> Self {
        Self { backend }
    }

    /// Another handle on the same service, which shares no connection with this one: see
    /// [`Backend::dedicated`].
    pub(crate) fn dedicated(&self) -> Self {
        Self::of(self.backend.dedicated())
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry")
            .field(&self.backend.cluster())
            .finish()
    }
}
