//! The task that carries out what the keeper decides.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::fence::Fence;
use super::keeper::{Keeper, KeeperCommand};
use crate::registry::{RegistryErrorKind, TimedRegistry};

/// Renews the leases until the session is fenced or ended.
pub(super) async fn keep(registry: TimedRegistry, fence: Arc<Fence>, mut keeper: Keeper) {
    let environment = registry.environment();
    let mut renewals = FuturesUnordered::new();
    let mut commands = Vec::new();
    loop {
        commands.extend(keeper.tick(environment.now()));
        for command in commands.drain(..) {
            match command {
                KeeperCommand::Renew { lease, sent, limit } => {
                    let registry = registry.with_limit(limit);
                    renewals.push(async move {
                        let renewed = registry.exchange(|backend| backend.renew(lease)).await;
                        (lease, sent, renewed)
                    });
                }
                KeeperCommand::Extend { soft, hard } => fence.extend(soft, hard),
                KeeperCommand::Fence(reason) => fence.trip(reason),
            }
        }
        tokio::select! {
            biased;
            () = fence.fenced().cancelled() => return,
            Some((lease, sent, renewed)) = renewals.next() => match renewed {
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
