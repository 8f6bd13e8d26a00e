//! The rules that every registry of this crate keeps: one function for each, over any [`Fixture`].

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
