//! A registry with a time limit for each exchange.

use std::future::Future;
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::backend::Backend;
use super::error::RegistryError;
use super::registry::Registry;
use crate::environment::Environment;
use crate::token::ClusterId;

/// A registry with a time limit for each exchange. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct TimedRegistry {
    environment: Environment,
    registry: Registry,
    limit: Duration,
}

impl TimedRegistry {
    pub(crate) fn new(environment: &Environment, registry: &Registry, limit: Duration) -> Self {
        Self {
            environment: environment.clone(),
            registry: registry.clone(),
            limit,
        }
    }

    /// Returns the same registry with another limit.
    pub(crate) fn with_limit(&self, limit: Duration) -> Self {
        Self {
            limit,
            ..self.clone()
        }
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Returns the time limit of one exchange.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn cluster(&self) -> ClusterId {
        self.registry.cluster()
    }

    /// Returns how often another history was followed: see [`Registry::follows`].
    pub(crate) fn follows(&self) -> usize {
        self.registry.follows()
    }

    /// Waits until the number of followed histories is no longer `follows`.
    pub(crate) fn followed_since(&self, follows: usize) -> BoxFuture<'static, ()> {
        let registry = self.registry.clone();
        Box::pin(async move { registry.followed_since(follows).await })
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns a token that is cancelled once the registry is known to have gone back to an earlier
    /// revision: see [`Backend::restored`].
    pub(crate) fn restored(&self) -> CancellationToken {
        self.registry.backend().restored().clone()
    }

    /// Runs one exchange with the registry. Fails as [unknown](super::RegistryErrorKind::Unknown)
    /// if no reply arrives within the limit.
    ///
    /// If the future is dropped, the outcome is unknown as well.
    pub(crate) async fn exchange<'a, T, F>(
        &'a self,
        exchange: impl FnOnce(&'a dyn Backend) -> F,
    ) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, RegistryError>>,
    {
        let exchange = exchange(self.registry.backend());
        self.environment
            .timeout(self.limit, exchange)
            .await
            .unwrap_or_else(|| Err(RegistryError::no_reply()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Simulation;
    use crate::registry::{MemoryFault, MemoryOperation, MemoryRegistry, RegistryErrorKind};

    const LIMIT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn an_exchange_ends_with_its_reply_or_at_the_limit() {
        let environment = Simulation::new(7).environment();
        let memory = MemoryRegistry::new(&environment);
        let timed = TimedRegistry::new(&environment, &memory.registry(), LIMIT);
        let keys = ["a".to_owned()];
        memory.overwrite("a", "value");
        let begin = environment.now();
        let found = timed.exchange(|backend| backend.get(&keys)).await.unwrap();
        assert!(found[0].is_some());
        assert_eq!(environment.now(), begin);

        memory.inject(MemoryOperation::Get, MemoryFault::Refuse);
        let error = timed.exchange(|backend| backend.get(&keys)).await;
        assert_eq!(error.unwrap_err().kind(), RegistryErrorKind::Unavailable);
        assert_eq!(environment.now(), begin);

        memory.inject(MemoryOperation::Get, MemoryFault::LoseReply);
        let error = timed.exchange(|backend| backend.get(&keys)).await;
        assert_eq!(error.unwrap_err(), RegistryError::no_reply());
        assert_eq!(environment.now(), begin + LIMIT);

        let patient = timed.with_limit(3 * LIMIT);
        assert_eq!((timed.limit(), patient.limit()), (LIMIT, 3 * LIMIT));
        memory.inject(MemoryOperation::Get, MemoryFault::Delay(2 * LIMIT));
        let found = patient.exchange(|backend| backend.get(&keys)).await;
        assert!(found.unwrap()[0].is_some());
        assert_eq!(patient.environment().now(), begin + 3 * LIMIT);
        assert_eq!(patient.cluster(), timed.cluster());
    }
}
