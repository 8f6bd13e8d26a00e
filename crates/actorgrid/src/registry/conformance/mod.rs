//! The rules that every registry of this crate must obey: one function for each, generic over the
//! [`Fixture`].

mod claims;
mod fixture;
mod leases;
mod suite;
mod watches;

pub(crate) use claims::*;
pub(crate) use fixture::Fixture;
pub(crate) use leases::*;
pub(crate) use suite::conformance_suite;
pub(crate) use watches::*;
