//! One exchange with the registry, bounded in time.

use std::time::Duration;

use crate::environment::Environment;
use crate::registry::RegistryError;

/// Carries out an exchange with the registry, and gives it up without a reply after `limit`.
pub(super) async fn bounded<T>(
    environment: &Environment,
    limit: Duration,
    exchange: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    environment
        .timeout(limit, exchange)
        .await
        .unwrap_or_else(|| Err(RegistryError::no_reply()))
}
