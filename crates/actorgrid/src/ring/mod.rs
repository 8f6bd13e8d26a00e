//! Rings: which member of a family of names a key belongs to. They are pure arithmetic: none of
//! them knows whether its members run.
//!
//! - [`Ring`] and [`MultiRing`] are the Go library's mappings, for families that Go peers use too.
//!   The number of members is fixed; another number moves almost every key.
//! - [`Rendezvous`] is for everything else: members come and go by name and may have weights, a
//!   change moves only the keys that it must, and each key has any number of members in order
//!   (replicas).

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
