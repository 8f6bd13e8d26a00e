//! A simulated world for tests.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Clock;
use super::dedicated_runtime::DedicatedExecutor;
use super::environment::Environment;
use super::memory_network::MemoryNetwork;
use super::network::Network;

/// A world inside the process, for tests: a network without sockets, time that follows the
/// runtime's clock (paused, hours pass in milliseconds), and randomness from a seed.
///
/// Create it in a current-thread runtime with paused time. Each call of
/// [`environment`](Self::environment) creates the environment of one machine: its own clock, on the
/// shared network.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?.block_on(async {
/// use actorgrid::{Client, Environment, MemoryRegistry, Server, Simulation};
///
/// let world = Simulation::new(7);
/// let registry = MemoryRegistry::new(&world.environment()).registry();
/// let server = Server::builder("test", registry)
///     .environment(world.environment())
///     .bind("127.0.0.1:0")
///     .await?;
/// server.shutdown().await?;
/// # Ok::<(), actorgrid::BoxError>(())
/// # })?;
/// # Ok::<(), actorgrid::BoxError>(())
/// ```
pub struct Simulation {
    start: tokio::time::Instant,
    network: MemoryNetwork,
    seeds: AtomicU64,
}

impl Simulation {
    /// Creates a world whose randomness comes from `seed`.
    #[must_use]
    #[allow(clippy::disallowed_methods)]
    pub fn new(seed: u64) -> Self {
        Self {
            start: tokio::time::Instant::now(),
            network: MemoryNetwork::default(),
            seeds: AtomicU64::new(seed),
        }
    }

    /// Creates the environment of one more machine.
    pub fn environment(&self) -> Environment {
        self.environment_with(DedicatedExecutor::Task)
    }

    /// Creates the environment of a machine that has no thread left.
    #[cfg(test)]
    pub(crate) fn exhausted_environment(&self) -> Environment {
        self.environment_with(DedicatedExecutor::Exhausted)
    }

    fn environment_with(&self, dedicated: DedicatedExecutor) -> Environment {
        let seed = self
            .seeds
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let clock = Clock::Runtime {
            start: self.start,
            ahead_nanos: Arc::default(),
        };
        let network = Network::Memory(self.network.clone());
        Environment::of(clock, seed, network, dedicated)
    }

    /// Makes the clock of one machine jump ahead while its timers do not: this is how a process
    /// sees the time after it was stopped for this long.
    ///
    /// # Panics
    ///
    /// Panics if the environment is not a simulated one.
    pub fn jump(&self, environment: &Environment, by: Duration) {
        let Clock::Runtime { ahead_nanos, .. } = environment.clock() else {
            panic!("only the clock of a simulated environment can jump");
        };
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        ahead_nanos.fetch_add(nanos, Ordering::AcqRel);
    }

    /// Makes the runtime of one machine seem stalled for this long, as if its actors blocked all
    /// threads; [`ServerBuilder::max_stall`](crate::ServerBuilder::max_stall) limits such stalls.
    /// The machine's tasks keep running nevertheless, because a simulation has one thread for
    /// everything.
    ///
    /// # Panics
    ///
    /// Panics if the environment is not a simulated one.
    pub fn stall(&self, environment: &Environment, time: Duration) {
        let Clock::Runtime { .. } = environment.clock() else {
            panic!("only the runtime of a simulated environment can seem stalled");
        };
        environment.seem_stalled_until(environment.now() + time);
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").finish_non_exhaustive()
    }
}
