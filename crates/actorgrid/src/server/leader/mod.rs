//! The actor that each grid has one of.

pub(crate) mod candidate;
mod driver;

pub(crate) use driver::{LEADER, lead};
