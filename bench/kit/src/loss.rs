//! How long calls take to end when the process that they wait for is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout_at};

use crate::caller::{BoxError, Caller, echoed};
use crate::closed_loop::checked_call;
use crate::command_line::{LoadOptions, Losing};
use crate::load_report::{BystanderReport, LossReport};

/// Calls in flight to the bystander.
const BYSTANDING: usize = 8;
/// The bystander is called for so long at least after the loss.
const BYSTANDING_FOR: Duration = Duration::from_secs(1);

/// Keeps requests in flight, kills or freezes the other process, sends nothing more, and waits
/// until all have ended, well or not. Meanwhile it calls a process that is not lost, if there is
/// one.
///
/// # Errors
///
/// If there is no process to lose, or a request fails before.
pub(crate) async fn lose<C: Caller>(
    caller: &C,
    bystander: Option<C>,
    options: &LoadOptions,
    losing: Losing,
) -> Result<LossReport, BoxError> {
    let process = options
        .echo_process
        .and_then(|id| Pid::from_raw(id.cast_signed()));
    let process = process.ok_or("--losing needs --echo-process")?;
    let is_lost = Arc::new(AtomicBool::new(false));
    let message = Arc::new(caller.message(options.bytes));
    let mut calls = JoinSet::new();
    for _ in 0..options.in_flight {
        let (caller, message) = (caller.clone(), Arc::clone(&message));
        let call = last_call(caller, message, echoed(options.bytes), Arc::clone(&is_lost));
        calls.spawn(call);
    }
    let bystanding = bystander.map(|caller| Bystanding::start(&caller, options.bytes));
    sleep(Duration::from_secs_f64(options.warm_up)).await;

    let signal = match losing {
        Losing::Killed => Signal::KILL,
        Losing::Frozen => Signal::STOP,
    };
    let lost = Instant::now();
    is_lost.store(true, Ordering::Relaxed);
    kill_process(process, signal)?;

    let give_up = lost + Duration::from_secs_f64(options.give_up);
    let mut report = LossReport::default();
    while let Ok(Some(ended)) = timeout_at(give_up.into(), calls.join_next()).await {
        let (at, answer) = ended?;
        let Some(after) = at.checked_duration_since(lost) else {
            return Err(format!("a call failed before the loss: {answer:?}").into());
        };
        report.ended(after, &answer);
    }
    report.unended = calls.len();
    // Tasks whose calls never end are aborted here, and the process ends without them.
    calls.abort_all();
    if let Some(bystanding) = bystanding {
        sleep_until((lost + BYSTANDING_FOR).into()).await;
        report.bystander = Some(bystanding.end().await?);
    }
    Ok(report)
}

/// Calls until the process is lost; returns when and how the last call ended.
async fn last_call<C: Caller>(
    caller: C,
    message: Arc<C::Message>,
    expected: usize,
    is_lost: Arc<AtomicBool>,
) -> (Instant, Result<(), BoxError>) {
    loop {
        let answer = checked_call(&caller, &message, expected).await;
        if answer.is_err() || is_lost.load(Ordering::Relaxed) {
            return (Instant::now(), answer);
        }
    }
}

/// Calls to a process that is not lost.
struct Bystanding {
    is_over: Arc<AtomicBool>,
    calls: JoinSet<BystanderReport>,
}

impl Bystanding {
    fn start<C: Caller>(caller: &C, bytes: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut calls = JoinSet::new();
        for _ in 0..BYSTANDING {
            let (caller, is_over) = (caller.clone(), Arc::clone(&is_over));
            calls.spawn(async move {
                let message = caller.message(bytes);
                let mut report = BystanderReport::default();
                while !is_over.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let answer = checked_call(&caller, &message, echoed(bytes)).await;
                    report.ended(sent.elapsed(), &answer);
                }
                report
            });
        }
        Self { is_over, calls }
    }

    async fn end(mut self) -> Result<BystanderReport, BoxError> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = BystanderReport::default();
        while let Some(report) = self.calls.join_next().await {
            all.add(&report?);
        }
        Ok(all)
    }
}
