//! Hostile clients against a real peer on a real etcd.
//!
//! - [`peer`] is the peer that is attacked, in a process of its own (`hostile-peer`). It reports its
//!   memory, descriptors, tasks and sessions.
//! - [`attack`] has the attacks, which run in a process of their own too (`hostile-attacker`), with
//!   frames of HTTP/2 that are written by hand, from other addresses than the honest callers.
//! - [`arena`] is what all of them share: the target, the time, the pace, and what is found.
//! - [`honest`] has the honest callers, which use the library's client.
//! - [`run`] runs each attack beside honest callers, and judges what it came to (`hostile`).

pub mod arena;
pub mod attack;
pub mod honest;
mod http2;
pub mod peer;
pub mod run;
