//! The environment: everything that touches the world outside the process.
//!
//! Clock and timers, randomness, connector and listener, and the threads of a session. It is passed
//! in at construction and nothing in the library bypasses it, so that a simulation can run whole
//! grids in one process with the same code.

mod clock;
mod deadline;
mod dedicated_runtime;
mod descriptors;
mod environment;
mod listener;
mod memory_network;
mod network;
mod simulation;
mod socket;
mod watchdog;

pub(crate) use clock::Timestamp;
pub use deadline::{Deadline, MAX_DEADLINE};
pub(crate) use dedicated_runtime::DedicatedRuntime;
pub(crate) use descriptors::is_out_of_descriptors;
pub use environment::Environment;
pub(crate) use listener::Listener;
pub use simulation::Simulation;
pub(crate) use socket::Socket;
pub(crate) use watchdog::Watchdog;
