//! Hostile clients against a real peer on a real etcd.
//!
//! - [`peer`] is the peer under attack, in its own process (`hostile-peer`). It reports its memory,
//!   descriptors, tasks and sessions.
//! - [`attack`] contains the attacks, which run in their own processes too (`hostile-attacker`),
//!   with hand-written frames of HTTP/2 and of the link, from other addresses than the honest
//!   callers.
//! - [`arena`] is shared by all attacks: the target, the time, the pace, and the findings.
//! - [`honest`] contains the honest callers, which use the library's client.
//! - [`run`] runs each attack beside honest callers, and judges the outcome (`hostile`).

pub mod arena;
pub mod attack;
pub mod honest;
mod http2;
mod link;
pub mod peer;
pub mod run;
