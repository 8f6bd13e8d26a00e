//! How long to wait before a watch that broke is opened again.

use std::time::Duration;

use crate::back_off::{BackOffPolicy, RandomShare};

/// The pauses between watches of which none lasts. The next pause after one that has lasted is the
/// first one.
///
/// After the first pause a registry that takes watches and drops them at once is asked ten times a
/// second, and a single break is hardly noticed. The last one is the most that a watch is late by
/// when the registry is back. A part of each is random, so that a thousand watches that broke
/// together do not come back together.
pub(in crate::client) const WATCH_PAUSE: BackOffPolicy = BackOffPolicy::new(
    Duration::from_millis(100),
    Duration::from_secs(5),
    RandomShare::Quarter,
);
