//! Large messages on the connection that is measured with small ones.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout_at};

use crate::caller::{Caller, echoed};
use crate::closed_loop::checked_call;
use crate::load_report::LargeReport;
use crate::window::Window;

/// So many may be unanswered: a connection that cannot carry the rate is not to collect gigabytes.
const MAX_UNANSWERED: usize = 2;

/// Sends a message of `bytes` bytes every `period` until the window ends, unless two are
/// unanswered.
pub(crate) async fn send_large<C: Caller>(
    caller: &C,
    window: Window,
    bytes: usize,
    period: Duration,
) -> LargeReport {
    let message = Arc::new(caller.message(bytes));
    let report = Arc::new(Mutex::new(LargeReport::default()));
    let mut unanswered = JoinSet::new();
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let now = ticks.tick().await.into_std();
        if now >= window.end {
            break;
        }
        while unanswered.try_join_next().is_some() {}
        if unanswered.len() >= MAX_UNANSWERED {
            count(&report, |report| report.held_back += 1);
            continue;
        }
        let (caller, message, report) = (caller.clone(), Arc::clone(&message), Arc::clone(&report));
        unanswered.spawn(async move {
            let answer = checked_call(&caller, &message, echoed(bytes)).await;
            count(&report, |report| match answer {
                Ok(()) => report.answered += 1,
                Err(error) => report.failed(&error),
            });
        });
    }
    let ended = async { while unanswered.join_next().await.is_some() {} };
    if timeout_at(window.cut_off().into(), ended).await.is_err() {
        count(&report, |report| report.failed(&"unanswered"));
    }
    let report = report.lock().unwrap_or_else(PoisonError::into_inner);
    report.clone()
}

fn count(report: &Mutex<LargeReport>, change: impl FnOnce(&mut LargeReport)) {
    change(&mut report.lock().unwrap_or_else(PoisonError::into_inner));
}
