//! The clock of a server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The clock that leases run on: the time since some fixed point.
///
/// By default it is the runtime's, which a paused runtime advances. A simulation whose machines
/// have clocks of their own passes one, which must not go backwards.
#[derive(Clone)]
pub struct EtcdClock {
    read: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl EtcdClock {
    /// Creates a clock that calls `read` for the time.
    pub fn new(read: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        let read = Arc::new(read);
        Self { read }
    }

    /// Creates the clock of the runtime.
    #[must_use]
    #[allow(clippy::disallowed_methods)]
    pub fn of_runtime() -> Self {
        let start = tokio::time::Instant::now();
        Self::new(move || start.elapsed())
    }

    pub(crate) fn now(&self) -> Duration {
        (self.read)()
    }
}

impl Default for EtcdClock {
    fn default() -> Self {
        Self::of_runtime()
    }
}

impl fmt::Debug for EtcdClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EtcdClock").field(&self.now()).finish()
    }
}
