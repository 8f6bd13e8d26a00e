//! Looks at the fence's deadlines at short intervals.

use std::time::Duration;

use super::fence::Fence;
use crate::environment::Environment;

/// The longest time between two looks. A process that was stopped notices at most this much late
/// that it runs again. Twenty looks a second cost nothing that can be measured.
const WATCHDOG_INTERVAL: Duration = Duration::from_millis(50);

/// Trips the fence at the soft deadline and aborts at the hard one, for actors that do nothing.
/// Returns once everything is to be aborted.
pub(super) async fn watch_over(environment: &Environment, fence: &Fence) {
    while fence.look() {
        environment.sleep(WATCHDOG_INTERVAL).await;
    }
}
