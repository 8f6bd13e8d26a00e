//! The actor that each grid has one of.

mod candidate;
mod driver;
mod name;

pub(super) use driver::lead;
pub(super) use name::LEADER;
