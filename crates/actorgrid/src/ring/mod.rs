//! Rings: which member of a family of names a key belongs to. They are arithmetic alone: none of
//! them knows whether its members run.
//!
//! - [`Ring`] and [`MultiRing`] are the mappings of the Go library: for families that Go peers use
//!   too. The number of members is fixed; another one moves almost every key.
//! - [`Rendezvous`] is for all else: members come and go by name and may weigh more or less, a
//!   change moves only the keys that it must, and each key has as many members in order as one
//!   likes (replicas).

mod error;
mod limits;
mod multi;
mod numbered;
mod rendezvous;
mod score;

pub use error::RingError;
pub use limits::MAX_RINGS;
pub use multi::MultiRing;
pub use numbered::Ring;
pub use rendezvous::Rendezvous;
