//! The task that keeps a leader running: it watches the leader's key and carries out the
//! candidate's decisions.

use std::sync::Arc;
use std::time::Duration;

use super::candidate::{Candidate, CandidateAction, CandidateEvent, StartOutcome};
use super::name::LEADER;
use crate::back_off::{BackOffPolicy, RandomShare};
use crate::error::RequestErrorKind;
use crate::message::ActorStart;
use crate::name::Name;
use crate::registry::{KeyState, KeyWatch, Kind, keys};
use crate::server::actor::{CheckedStart, RunningActor, start};
use crate::server::life::Life;

/// The pause before a failed watch is opened again, less a random share of up to a quarter. It does
/// not grow, because the grid may have no leader meanwhile.
const WATCH_PAUSE: Duration = Duration::from_millis(100);
const WATCH_BACK_OFF: BackOffPolicy =
    BackOffPolicy::new(WATCH_PAUSE, WATCH_PAUSE, RandomShare::Quarter);

/// How many times per lease time to live the leader's key is read again although its watch reports
/// nothing: a leader whose end is not reported is replaced within half of that time.
const REREADS: u32 = 3;

/// Leads, or waits to lead, until the life ends.
pub(crate) async fn lead(life: Arc<Life>) {
    let Ok(name) = Name::new(LEADER) else { return };
    let key = keys::of(&life.names().identity().namespace, Kind::Actor, &name);
    let environment = life.environment().clone();
    let mut watch = KeyWatch::new(life.names().timed_registry(), key, WATCH_BACK_OFF)
        .reread_every(life.lease_ttl() / REREADS);
    let mut candidate = Candidate::new();
    let mut own: Option<Arc<RunningActor>> = None;
    let mut event = seen(watch.next().await);
    loop {
        if life.is_stopping() {
            return;
        }
        let next = candidate.handle(event, environment.now(), environment.random_unit());
        event = match next {
            CandidateAction::Start => {
                let order = ActorStart::new(LEADER, LEADER);
                let permit = life.starts().take_for_leader();
                let started = match CheckedStart::new(&life, order) {
                    Ok(order) => start(&life, order, permit, None).await,
                    Err(error) => Err(error),
                };
                let (outcome, running) = match started {
                    Ok(running) => (StartOutcome::Started, Some(running)),
                    Err(error) => {
                        tracing::debug!(%error, "the leader was not started here");
                        (outcome_of(error.kind()), None)
                    }
                };
                own = running;
                CandidateEvent::StartFinished(outcome)
            }
            CandidateAction::WaitUntil(until) => tokio::select! {
                biased;
                () = ended(own.as_deref()) => { own = None; CandidateEvent::LeaderEnded }
                state = watch.next() => seen(state),
                () = environment.sleep_until(until) => CandidateEvent::Due,
            },
            CandidateAction::WaitForEvent => tokio::select! {
                biased;
                () = ended(own.as_deref()) => { own = None; CandidateEvent::LeaderEnded }
                state = watch.next() => seen(state),
            },
        };
    }
}

fn seen(state: KeyState) -> CandidateEvent {
    CandidateEvent::LeaderSeen(matches!(state, KeyState::Present(_)))
}

fn outcome_of(kind: RequestErrorKind) -> StartOutcome {
    match kind {
        RequestErrorKind::AlreadyRunning => StartOutcome::Taken,
        RequestErrorKind::StartFailed => StartOutcome::Failed,
        _ => StartOutcome::Unsettled,
    }
}

/// Waits until the name of this peer's own leader is free again.
async fn ended(own: Option<&RunningActor>) {
    match own {
        Some(running) => running.freed.happened().await,
        None => std::future::pending().await,
    }
}
