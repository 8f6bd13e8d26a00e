//! The registry that lives in the process.
//!
//! It has the semantics of etcd and no task of its own: leases end, and late requests arrive, when
//! someone looks next. An operation looks before it does anything, and a waiting watch sleeps until
//! the next of them is due.
//!
//! - [`memory_registry`] is the handle, [`memory_core`] is what its clones share, and
//!   [`memory_handle`] what a process knows of it; [`snapshot`] is what it can be restored to.
//! - [`store`] holds keys, leases and history; [`state`] adds what is late, absent or broken.
//! - [`backend`] and [`history_watch`] answer the library; [`call`] lets [`faults`] interfere.

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
