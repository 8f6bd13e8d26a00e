//! The leader: the one actor that each grid keeps running.

mod candidate;
mod driver;
mod name;

pub(super) use driver::lead;
pub(super) use name::LEADER;
