//! The honest callers, who call at a steady pace.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actorgrid::{BoxError, Client, Registry};
use tokio::task::JoinSet;

use super::call::{CallKind, Caller, HonestRoute};
use super::phase::Phase;
use crate::peer::NAMESPACE;

/// One call every 5 ms, whether or not the previous ones have ended: 200 per second.
const PACE: Duration = Duration::from_millis(5);
/// The number of clients that share the calls, each with its own connection. Every other one uses
/// links.
const CLIENTS: u64 = 4;

/// Honest callers, which call until they are dropped. They connect from 127.0.0.1.
pub struct Callers {
    current: Arc<CurrentPhase>,
    // Aborted when dropped.
    _calling: JoinSet<()>,
}

/// The phase that calls are counted for.
type CurrentPhase = Mutex<Arc<Phase>>;

impl Callers {
    /// Connects to the registry, and calls the actors of this peer.
    ///
    /// # Errors
    ///
    /// Fails if the registry does.
    pub async fn start(registry: &str, peer: &str) -> Result<Self, BoxError> {
        let registry = Registry::connect(registry).await?;
        let callers: Vec<Caller> = (0..CLIENTS)
            .map(|number| {
                let route = HonestRoute::ALL[(number % 2) as usize];
                Caller {
                    client: Client::builder(NAMESPACE, registry.clone())
                        .link(route == HonestRoute::Link)
                        .build(),
                    registry: registry.clone(),
                    peer: peer.to_owned(),
                    route,
                }
            })
            .collect();
        let current = Arc::<CurrentPhase>::default();
        let mut calling = JoinSet::new();
        calling.spawn(call_for_ever(Arc::clone(&current), callers));
        Ok(Self {
            current,
            _calling: calling,
        })
    }

    /// Begins a phase, for which calls are counted from now on.
    #[must_use]
    pub fn begin(&self) -> Arc<Phase> {
        let phase = Arc::<Phase>::default();
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&phase);
        phase
    }
}

async fn call_for_ever(current: Arc<CurrentPhase>, callers: Vec<Caller>) {
    let mut pace = tokio::time::interval(PACE);
    // Owned here, so that the calls end with the callers.
    let mut calls = JoinSet::new();
    for number in 0.. {
        pace.tick().await;
        while calls.try_join_next().is_some() {}
        let kind = CallKind::of_number(number);
        let phase = Arc::clone(&current.lock().unwrap_or_else(PoisonError::into_inner));
        // Each second, calls of a kind come from another client.
        let caller = callers[((number + number / 200) % CLIENTS) as usize].clone();
        phase.begin();
        let begun = Instant::now();
        calls.spawn(async move {
            let result = caller.call(kind, number).await;
            phase.end(caller.route, kind, begun.elapsed(), result);
        });
    }
}
