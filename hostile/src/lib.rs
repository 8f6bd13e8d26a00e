//! Hostile clients against a real peer on a real etcd.
//!
//! - [`peer`] is the peer that is attacked, in a process of its own (`hostile-peer`). It reports its
//!   memory, descriptors, tasks and sessions.
//! - [`honest`] has the honest callers, which use the library's client.

pub mod honest;
pub mod peer;
