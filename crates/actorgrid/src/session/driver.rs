//! The task that carries out what the keeper decides.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::Fence;
use super::exchange::bounded;
use super::keeper::{Command, Keeper};
use crate::environment::Environment;
use crate::registry::{Registry, RegistryErrorKind};

/// Renews the leases until the session is fenced or ended.
pub(super) async fn keep(
    environment: Environment,
    registry: Registry,
    fence: Arc<Fence>,
    mut keeper: Keeper,
) {
    let mut renewals = FuturesUnordered::new();
    let mut commands = Vec::new();
    loop {
        commands.extend(keeper.tick(environment.now()));
        for command in commands.drain(..) {
            match command {
                Command::Renew { lease, sent, limit } => {
                    let (environment, registry) = (&environment, &registry);
                    renewals.push(async move {
                        let renew = registry.backend().renew(lease);
                        (lease, sent, bounded(environment, limit, renew).await)
                    });
                }
                Command::Extend { soft, hard } => fence.extend(soft, hard),
                Command::Fence(reason) => fence.trip(reason),
            }
        }
        tokio::select! {
            biased;
            () = fence.fenced().cancelled() => return,
            Some((lease, sent, result)) = renewals.next() => match result {
                Ok(ttl) => commands = keeper.renewed(lease, sent, ttl, environment.now()),
                Err(error) if error.kind() == RegistryErrorKind::LeaseNotFound => {
                    commands = keeper.gone(lease, sent);
                }
                Err(error) => {
                    tracing::warn!(%error, "renewal of the lease failed");
                    keeper.failed(lease, sent, environment.now());
                }
            },
            () = environment.sleep_until(keeper.wakes_at()) => {}
        }
    }
}
