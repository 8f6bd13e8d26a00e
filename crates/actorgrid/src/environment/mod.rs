//! The environment: all that touches the world outside of the process.
//!
//! Clock and timers, randomness, connector and listener, and the executor of the watchdog. It is
//! passed at construction and nothing in the library goes around it, so that a simulation runs
//! whole grids in one process with the same code.

mod clock;
mod network;
mod simulation;
mod watchdog;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinHandle;

use crate::address::Address;

pub(crate) use clock::Timestamp;
pub use clock::{Deadline, MAX_DEADLINE};
pub(crate) use network::{Listener, Socket};
pub use simulation::Simulation;
pub(crate) use watchdog::{Watchdog, Watched};

use clock::Clock;
use network::Network;

/// What a server, a client and a registry use to reach the world. Cheap to clone.
///
/// The default is the real one: the system's clock (which counts suspend), the network, and a
/// thread for the watchdog. A [`Simulation`] makes others.
#[derive(Clone)]
pub struct Environment {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    random: Mutex<Rng>,
    network: Network,
    watchdog: watchdog::Executor,
}

impl Environment {
    /// The real environment.
    #[must_use]
    pub fn real() -> Self {
        Self::of(
            Clock::real(),
            seed(),
            Network::Tcp,
            watchdog::Executor::Thread,
        )
    }

    fn of(clock: Clock, seed: u64, network: Network, watchdog: watchdog::Executor) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock,
                random: Mutex::new(Rng::with_seed(seed)),
                network,
                watchdog,
            }),
        }
    }

    /// The time since some fixed point, suspend included.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Microseconds since 1970, for what must grow over restarts.
    pub(crate) fn wall_clock_micros(&self) -> u64 {
        self.shared.clock.wall_clock_micros()
    }

    /// Ends when [`now`](Self::now) has reached `until`, suspend excepted: timers stand still
    /// while the machine is suspended, so who depends on the time reads the clock again.
    pub(crate) fn sleep_until(&self, until: Timestamp) -> tokio::time::Sleep {
        tokio::time::sleep(until.since(self.now()))
    }

    pub(crate) fn sleep(&self, duration: Duration) -> tokio::time::Sleep {
        tokio::time::sleep(duration)
    }

    /// `future`, or `None` if it takes longer than `limit`.
    pub(crate) async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        tokio::time::timeout(limit, future).await.ok()
    }

    pub(crate) fn random_u64(&self) -> u64 {
        self.rng().u64(..)
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn random_unit(&self) -> f64 {
        self.rng().f64()
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, Rng> {
        self.shared
            .random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Spawns a task. The caller owns it: it joins or aborts it.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        tokio::spawn(future)
    }

    pub(crate) async fn connect(&self, address: &Address) -> std::io::Result<Socket> {
        self.shared.network.connect(address).await
    }

    pub(crate) async fn listen(&self, address: SocketAddr) -> std::io::Result<Listener> {
        self.shared.network.listen(address).await
    }

    /// Runs a watchdog until the returned guard is dropped.
    pub(crate) fn watch_over(&self, watched: Arc<dyn Watched>) -> std::io::Result<Watchdog> {
        watchdog::start(self, self.shared.watchdog, watched)
    }
}

#[allow(clippy::disallowed_methods)]
fn seed() -> u64 {
    fastrand::u64(..)
}

impl Default for Environment {
    fn default() -> Self {
        Self::real()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("clock", &self.shared.clock)
            .field("network", &self.shared.network)
            .finish_non_exhaustive()
    }
}
