//! The task that keeps a leader running: it watches the leader's key and does what the candidate
//! decides.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};

use super::candidate::{Candidate, Event, Next, StartOutcome};
use crate::error::RequestErrorKind;
use crate::message::ActorStart;
use crate::name::Name;
use crate::registry::{Change, Kind, RegistryError, Selector, WatchStream, keys};
use crate::server::actors::Running;
use crate::server::life::Life;
use crate::server::start::start;

/// The name and the type of the leader.
pub(crate) const LEADER: &str = "leader";
/// The pause before a watch that failed is opened again.
const PAUSE: Duration = Duration::from_millis(100);

/// Leads, or waits to lead, until the life ends.
pub(crate) async fn lead(life: Arc<Life>) {
    let Ok(name) = Name::new(LEADER) else { return };
    let key = keys::of(&life.names().identity().namespace, Kind::Actor, &name);
    let environment = life.environment().clone();
    let mut watch = Watch::new(&life, key);
    let mut candidate = Candidate::new();
    let mut own: Option<Arc<Running>> = None;
    let mut event = watch.next().await;
    loop {
        if life.is_stopping() {
            return;
        }
        let next = candidate.handle(event, environment.now(), environment.random_unit());
        event = match next {
            Next::Start => {
                let order = ActorStart::new(LEADER, LEADER);
                let (outcome, running) = match start(&life, order).await {
                    Ok(running) => (StartOutcome::Started, Some(running)),
                    Err(error) => {
                        tracing::debug!(%error, "the leader was not started here");
                        (outcome_of(error.kind()), None)
                    }
                };
                own = running;
                Event::StartFinished(outcome)
            }
            Next::WaitUntil(until) => tokio::select! {
                () = ended(own.as_deref()) => { own = None; Event::LeaderEnded }
                event = watch.next() => event,
                () = environment.sleep_until(until) => Event::Due,
            },
            Next::WaitForEvent => tokio::select! {
                () = ended(own.as_deref()) => { own = None; Event::LeaderEnded }
                event = watch.next() => event,
            },
        };
    }
}

fn outcome_of(kind: RequestErrorKind) -> StartOutcome {
    match kind {
        RequestErrorKind::AlreadyRunning => StartOutcome::Taken,
        RequestErrorKind::StartFailed => StartOutcome::Failed,
        _ => StartOutcome::Unsettled,
    }
}

/// Ends when our own leader's name is free again.
async fn ended(own: Option<&Running>) {
    match own {
        Some(running) => running.freed.cancelled().await,
        None => std::future::pending().await,
    }
}

/// Whether the leader's key is there: first as read, then as it changes.
struct Watch<'a> {
    life: &'a Life,
    key: String,
    changes: Option<WatchStream>,
    /// The next watch on its way, its pause included. Kept, as whoever waits for the next word is
    /// often done sooner, and would have it begin again for ever.
    opening: Option<BoxFuture<'a, Result<(bool, WatchStream), RegistryError>>>,
    /// Changes that came together and are not told yet.
    told: std::collections::VecDeque<bool>,
    failed: bool,
}

impl<'a> Watch<'a> {
    fn new(life: &'a Life, key: String) -> Self {
        Self {
            life,
            key,
            changes: None,
            opening: None,
            told: std::collections::VecDeque::new(),
            failed: false,
        }
    }

    /// The next word of the registry. Cancel safe: what was read is kept.
    async fn next(&mut self) -> Event {
        loop {
            if let Some(seen) = self.told.pop_front() {
                return Event::LeaderSeen(seen);
            }
            let Some(changes) = &mut self.changes else {
                let pause = if self.failed { PAUSE } else { Duration::ZERO };
                let opening = self
                    .opening
                    .get_or_insert_with(|| open(self.life, self.key.clone(), pause).boxed());
                let opened = opening.await;
                self.opening = None;
                self.failed = opened.is_err();
                if let Ok((seen, changes)) = opened {
                    self.changes = Some(changes);
                    self.told.push_back(seen);
                }
                continue;
            };
            match changes.next().await {
                Some(Ok(batch)) => self
                    .told
                    .extend(batch.iter().map(|change| matches!(change, Change::Put(_)))),
                Some(Err(_)) | None => self.changes = None,
            }
        }
    }
}

async fn open(
    life: &Life,
    key: String,
    pause: Duration,
) -> Result<(bool, WatchStream), RegistryError> {
    life.environment().sleep(pause).await;
    let names = life.names();
    let read = names.bounded(|registry| registry.read(&key)).await?;
    let seen = !read.entries.is_empty();
    let from = read.revision.next();
    let selector = Selector::Key(key);
    let changes = names
        .bounded(|registry| registry.watch(&selector, from))
        .await?;
    Ok((seen, changes))
}
