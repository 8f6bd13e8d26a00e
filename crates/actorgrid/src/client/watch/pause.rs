//! How long to wait before a broken watch is opened again.

use std::time::Duration;

use crate::back_off::{BackOffPolicy, RandomShare};

/// The pauses between watches none of which lasts. After a watch that has lasted, they start over
/// at the first one.
///
/// With the first pause, a registry that accepts watches and drops them at once is asked ten times
/// a second, and a single break is hardly noticed. The last pause is the longest delay of a watch
/// once the registry is back. Part of each pause is random, so that a thousand watches that broke
/// together do not come back together.
pub(in crate::client) const WATCH_PAUSE: BackOffPolicy = BackOffPolicy::new(
    Duration::from_millis(100),
    Duration::from_secs(5),
    RandomShare::Quarter,
);
