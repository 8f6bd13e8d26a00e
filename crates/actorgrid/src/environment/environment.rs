//! The environment that servers, clients and registries run in.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinHandle;

use super::clock::{Clock, Timestamp};
use super::dedicated_runtime::{DedicatedExecutor, DedicatedRuntime};
use super::descriptors::raise_descriptor_limit;
use super::listener::Listener;
use super::network::Network;
use super::socket::Socket;
use super::watchdog::Watchdog;
use crate::address::Address;

/// The outside world, as servers, clients and registries reach it. Cheap to clone.
///
/// The default is the real world: the system's clock (which counts suspend), the network, and
/// threads for the keeper and the watchdog of each session. A [`Simulation`](crate::Simulation)
/// creates simulated ones.
#[derive(Clone)]
pub struct Environment {
    core: Arc<EnvironmentCore>,
}

struct EnvironmentCore {
    clock: Clock,
    random: Mutex<Rng>,
    network: Network,
    dedicated: DedicatedExecutor,
    /// Until when a simulation makes the runtime seem stalled, in nanoseconds of the clock.
    stalled_until: AtomicU64,
}

impl Environment {
    /// Returns the real environment.
    #[must_use]
    pub fn real() -> Self {
        Self::of(
            Clock::real(),
            seed(),
            Network::Tcp,
            DedicatedExecutor::Thread,
        )
    }

    pub(super) fn of(
        clock: Clock,
        seed: u64,
        network: Network,
        dedicated: DedicatedExecutor,
    ) -> Self {
        Self {
            core: Arc::new(EnvironmentCore {
                clock,
                random: Mutex::new(Rng::with_seed(seed)),
                network,
                dedicated,
                stalled_until: AtomicU64::new(0),
            }),
        }
    }

    /// Returns the clock, for a simulation that makes it jump.
    pub(super) fn clock(&self) -> &Clock {
        &self.core.clock
    }

    /// Makes the runtime seem stalled until then, for a simulation.
    pub(super) fn seem_stalled_until(&self, until: Timestamp) {
        let until = until.as_nanos();
        self.core.stalled_until.fetch_max(until, Ordering::AcqRel);
    }

    /// Returns the time since some fixed point, suspend included.
    pub(crate) fn now(&self) -> Timestamp {
        self.core.clock.now()
    }

    /// Returns the microseconds since 1970, for numbers that must keep growing over restarts.
    pub(crate) fn wall_clock_micros(&self) -> u64 {
        self.core.clock.wall_clock_micros()
    }

    /// Waits until [`now`](Self::now) has reached `until`. Timers do not run while the machine is
    /// suspended, so this can end late by the suspended time; code that depends on the time reads
    /// the clock again.
    pub(crate) fn sleep_until(&self, until: Timestamp) -> tokio::time::Sleep {
        tokio::time::sleep(until.since(self.now()))
    }

    pub(crate) fn sleep(&self, duration: Duration) -> tokio::time::Sleep {
        tokio::time::sleep(duration)
    }

    /// Runs `future`; returns `None` if it takes longer than `limit`.
    pub(crate) async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        tokio::time::timeout(limit, future).await.ok()
    }

    pub(crate) fn random_u64(&self) -> u64 {
        self.rng().u64(..)
    }

    /// Returns bytes that nobody else can guess: the system's. In a simulation they come from its
    /// seed. Fails if the system has none.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn secret(&self) -> std::io::Result<[u8; 16]> {
        let mut secret = [0; 16];
        match self.core.network {
            Network::Tcp => getrandom::fill(&mut secret).map_err(std::io::Error::other)?,
            Network::Memory(_) => self.rng().fill(&mut secret),
        }
        Ok(secret)
    }

    /// Returns a number uniform in `[0, 1)`.
    pub(crate) fn random_unit(&self) -> f64 {
        self.rng().f64()
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, Rng> {
        self.core
            .random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises the limit on open descriptors to `wanted`, as far as the system allows, and returns
    /// the resulting limit. `None` means unlimited, as in a simulation.
    pub(crate) fn raise_descriptor_limit(&self, wanted: u64) -> Option<u64> {
        match self.core.network {
            Network::Tcp => raise_descriptor_limit(wanted),
            Network::Memory(_) => None,
        }
    }

    /// Spawns a task. The caller owns it, and must join or abort it.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        tokio::spawn(future)
    }

    pub(crate) async fn connect(&self, address: &Address) -> std::io::Result<Socket> {
        self.core.network.connect(address).await
    }

    pub(crate) async fn listen(&self, address: SocketAddr) -> std::io::Result<Listener> {
        self.core.network.listen(address).await
    }

    /// Waits while a simulation makes the runtime seem stalled; otherwise returns at once. In real
    /// time a stalled runtime does not poll its tasks, so there is nothing to wait for.
    pub(crate) async fn runtime_runs(&self) {
        loop {
            let stalled_until = self.core.stalled_until.load(Ordering::Acquire);
            let stalled_until = Timestamp::from_nanos(stalled_until);
            if self.now() >= stalled_until {
                return;
            }
            self.sleep_until(stalled_until).await;
        }
    }

    /// Runs `future` on its own thread and runtime, so that nothing else can starve it; in a
    /// simulation, as a task. Fails if the system has no thread or no descriptors left for it.
    pub(crate) async fn run_dedicated<F>(
        &self,
        name: &str,
        future: F,
    ) -> std::io::Result<DedicatedRuntime>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        DedicatedRuntime::start(self.core.dedicated, name, future).await
    }

    /// Calls `look` every 50 ms, on a thread that does nothing else, until it returns false or the
    /// returned guard is dropped; in a simulation, as a task. `look` must neither block nor log.
    /// Fails if the system has no thread left for it.
    pub(crate) fn watch_over(
        &self,
        look: impl Fn() -> bool + Send + 'static,
    ) -> std::io::Result<Watchdog> {
        Watchdog::start(self.core.dedicated, look)
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
            .field("clock", &self.core.clock)
            .field("network", &self.core.network)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::environment::Simulation;

    use super::*;

    #[test]
    fn a_secret_differs_from_all_others_and_follows_from_no_seed() {
        let of_seed = || Environment::of(Clock::real(), 7, Network::Tcp, DedicatedExecutor::Thread);
        let (first, second) = (of_seed(), of_seed());
        assert_eq!(first.random_u64(), second.random_u64());
        let secrets = [&first, &first, &second].map(|environment| environment.secret().unwrap());
        assert!(secrets[0] != secrets[1] && secrets[0] != secrets[2] && secrets[1] != secrets[2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulation_repeats_its_secrets() {
        let secrets = |seed| {
            let environment = Simulation::new(seed).environment();
            [(); 2].map(|()| environment.secret().unwrap())
        };
        assert_eq!(secrets(7), secrets(7));
        assert_ne!(secrets(7), secrets(8));
        let [first, second] = secrets(7);
        assert_ne!(first, second);
    }
}
