//! How long calls take to end when the process that they wait for is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout_at};

use crate::caller::{BoxError, Caller, echoed};
use crate::closed_loop::checked_call;
use crate::command_line::{LoadOptions, Losing};
use crate::load_report::{BystanderReport, LossReport};

/// A stopped process has read and answered nothing for so long once all calls wait for it.
const STALL: Duration = Duration::from_millis(50);
/// Calls in flight to the bystander.
const BYSTANDING: usize = 8;
/// The bystander is called for so long at least after the loss.
const BYSTANDING_FOR: Duration = Duration::from_secs(1);

/// Keeps requests in flight, kills or freezes the other process, and waits until all of them have
/// ended, well or not. Meanwhile it calls a process that is not lost, if there is one.
///
/// A process that is to be killed is stopped just before: otherwise it might answer all requests in
/// the moment before it dies, and others might be sent after that, which is another matter.
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
    let progress = Arc::new(Progress::default());
    let message = Arc::new(caller.message(options.bytes));
    let mut calls = JoinSet::new();
    for _ in 0..options.in_flight {
        let (caller, message) = (caller.clone(), Arc::clone(&message));
        let call = last_call(
            caller,
            message,
            echoed(options.bytes),
            Arc::clone(&progress),
        );
        calls.spawn(call);
    }
    let bystanding = bystander.map(|caller| Bystanding::start(&caller, options.bytes));
    sleep(Duration::from_secs_f64(options.warm_up)).await;

    let frozen = Instant::now();
    kill_process(process, Signal::STOP)?;
    progress.stalled().await;
    progress.is_lost.store(true, Ordering::Relaxed);
    let lost = match losing {
        Losing::Frozen => frozen,
        Losing::Killed => {
            let killed = Instant::now();
            kill_process(process, Signal::KILL)?;
            killed
        }
    };

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

/// The state that all calls share.
#[derive(Default)]
struct Progress {
    answers: AtomicU64,
    is_lost: AtomicBool,
}

impl Progress {
    /// Waits until nothing is answered any more.
    async fn stalled(&self) {
        let mut seen = self.answers.load(Ordering::Relaxed);
        loop {
            sleep(STALL).await;
            let answers = self.answers.load(Ordering::Relaxed);
            if answers == seen {
                return;
            }
            seen = answers;
        }
    }
}

/// Calls until the process is lost; returns when and how the last call ended.
async fn last_call<C: Caller>(
    caller: C,
    message: Arc<C::Message>,
    expected: usize,
    progress: Arc<Progress>,
) -> (Instant, Result<(), BoxError>) {
    loop {
        let answer = checked_call(&caller, &message, expected).await;
        if answer.is_err() || progress.is_lost.load(Ordering::Relaxed) {
            return (Instant::now(), answer);
        }
        progress.answers.fetch_add(1, Ordering::Relaxed);
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
