//! The calls of one phase: each counts for the phase in which it was sent, however long it takes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::call::{CallError, CallKind, HonestRoute};
use super::figures::HonestFigures;

/// How often to check whether all calls have ended.
const POLL: Duration = Duration::from_millis(20);

/// The calls of one phase.
#[derive(Debug, Default)]
pub struct Phase {
    state: Mutex<PhaseState>,
}

#[derive(Debug, Default)]
struct PhaseState {
    under_way: usize,
    figures: HonestFigures,
}

impl Phase {
    /// Waits until every call has ended, and returns their results.
    pub async fn figures(&self) -> HonestFigures {
        loop {
            {
                let state = self.state();
                if state.under_way == 0 {
                    return state.figures.clone();
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) fn begin(&self) {
        self.state().under_way += 1;
    }

    pub(super) fn end(
        &self,
        route: HonestRoute,
        kind: CallKind,
        took: Duration,
        result: Result<(), CallError>,
    ) {
        let mut state = self.state();
        state.under_way -= 1;
        state.figures.count(route, kind, took, result);
    }

    fn state(&self) -> MutexGuard<'_, PhaseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
