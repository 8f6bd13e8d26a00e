//! The memory registry, which lives in the process.
//!
//! It has the semantics of etcd but no task: leases end and late requests arrive when something
//! next looks at the state. Every operation does so first, and a waiting watch sleeps until the
//! next event is due.
//!
//! - [`memory_registry`] is the handle, [`memory_core`] is shared by its clones, and
//!   [`memory_handle`] is the knowledge that a process has of the registry; [`snapshot`] is a state
//!   to restore.
//! - [`store`] holds keys, leases and history; [`state`] adds late requests, absence and broken
//!   watches.
//! - [`backend`] and [`history_watch`] implement the library's interface; [`call`] applies
//!   [`faults`].

mod backend;
mod call;

mod fault;
mod faults;
mod history_watch;
mod memory_core;
mod memory_handle;
mod memory_registry;
mod operation;
mod snapshot;
mod state;
mod store;
#[cfg(test)]
mod tests;

pub use fault::MemoryFault;
pub use memory_registry::MemoryRegistry;
pub use operation::MemoryOperation;
pub use snapshot::MemorySnapshot;
