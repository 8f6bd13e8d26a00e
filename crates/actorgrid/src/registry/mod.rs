//! The coordination service: keys under leases, with revisions.
//!
//! - [`registry`] is the handle, and [`connect`] makes one from a URL.
//! - [`timed`] limits the time of each exchange; [`key_watch`] follows the states of one key.
//! - [`backend`] is the interface to a service; [`memory`] and `etcd` implement it.
//! - [`entry`], [`change`], [`lease`], [`claim`], [`raise`] and [`selector`] are the types of that
//!   interface.
//! - [`capabilities`] describes what the program at the other end can do.
//! - [`keys`], [`kind`] and [`registration`] define the keys of a grid and their values.

mod backend;
mod capabilities;
mod change;
mod claim;
#[cfg(test)]
mod conformance;
mod connect;
mod entry;
mod error;
mod error_kind;
#[cfg(feature = "etcd")]
mod etcd;
mod key_watch;
pub(crate) mod keys;
mod kind;
mod lease;
mod link_announcement;
mod memory;
mod raise;
mod registration;
#[cfg(feature = "serde")]
mod registration_serde;
mod registry;
mod selector;
mod timed;
mod watch_update;

pub(crate) use backend::{Backend, WatchStream};
pub(crate) use capabilities::Capabilities;
pub(crate) use change::Change;
pub(crate) use claim::{Claim, ClaimBatch, ClaimOutcome, Guard};
pub(crate) use entry::{Entry, Listing};
pub use error::RegistryError;
pub use error_kind::RegistryErrorKind;
pub(crate) use key_watch::{KeyState, KeyWatch};
pub use kind::Kind;
pub(crate) use lease::{Lease, LeaseId};
pub(crate) use link_announcement::{Incarnation, LinkAnnouncement};
pub use memory::{MemoryFault, MemoryOperation, MemoryRegistry, MemorySnapshot};
pub(crate) use raise::RaiseOutcome;
pub use registration::Registration;
#[cfg(test)]
pub(crate) use registration::value_with_nonce;
pub(crate) use registration::{carries, holder, read, write};
pub use registry::Registry;
pub(crate) use selector::Selector;
pub(crate) use timed::TimedRegistry;
pub(crate) use watch_update::WatchUpdate;
