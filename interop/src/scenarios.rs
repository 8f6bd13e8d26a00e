//! Runs scenarios side by side on one bed.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use testbed::Transcript;

/// A scenario on a bed, with its name.
pub type Scenario<B> = (&'static str, fn(Arc<B>) -> BoxFuture<'static, ()>);

/// Lists async functions of a reference to a bed as [`Scenario`]s, by their module and name.
#[macro_export]
macro_rules! scenarios {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($name)), |bed| {
            Box::pin(async move { $module::$name(&bed).await })
        })),*]
    };
}

/// Runs one group of scenarios after the other, those of a group concurrently. Words on the command
/// line select the scenarios whose names contain one of them. Prints the results and, if one fails,
/// what the peers have printed.
pub async fn run_scenarios<B: Send + Sync + 'static>(
    bed: B,
    transcript: &Transcript,
    groups: impl IntoIterator<Item = &'static [Scenario<B>]>,
) -> ExitCode {
    let wanted: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word));
    let bed = Arc::new(bed);
    let mut results = Vec::new();
    for group in groups {
        let wanted = group.iter().filter(|(name, _)| is_wanted(name));
        results.extend(side_by_side(&bed, wanted).await);
    }
    let count = results.len();
    let failed = results.iter().filter(|ok| !**ok).count();
    if count == 0 || failed > 0 {
        println!("{failed} of {count} scenarios failed; what the peers printed:\n{transcript:?}");
        return ExitCode::FAILURE;
    }
    println!("{count} scenarios passed");
    ExitCode::SUCCESS
}

/// Runs scenarios concurrently. Returns whether each one passed.
async fn side_by_side<B: Send + Sync + 'static>(
    bed: &Arc<B>,
    scenarios: impl Iterator<Item = &Scenario<B>>,
) -> Vec<bool> {
    let mut running = tokio::task::JoinSet::new();
    for &(name, scenario) in scenarios {
        let bed = Arc::clone(bed);
        running.spawn(async move {
            let begun = Instant::now();
            let ended = AssertUnwindSafe(scenario(bed)).catch_unwind().await;
            let word = if ended.is_ok() { "ok" } else { "FAILED" };
            println!("{word:6} {name} ({:.1} s)", begun.elapsed().as_secs_f64());
            ended.is_ok()
        });
    }
    running.join_all().await
}
