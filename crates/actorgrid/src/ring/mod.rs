//! Rings: they map a key to a member of a family of names. They are pure arithmetic: none of them
//! knows whether its members are running.
//!
//! - [`Ring`] and [`MultiRing`] are the Go library's mappings, for families that Go peers use too.
//!   The number of members is fixed: changing it would move almost every key.
//! - [`Rendezvous`] is for everything else: members come and go by name and may have weights, a
//!   change moves only the keys that it must, and a key can have several members, in order of
//!   preference (replicas).

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
