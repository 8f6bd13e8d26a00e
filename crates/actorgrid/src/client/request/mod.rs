//! Requests: their options, the tries to send them, and the rules for repeating them.

mod builder;
mod drive;
mod policy;
mod retry;
mod spec;

pub use builder::RequestBuilder;
pub(in crate::client) use drive::Drive;
pub(in crate::client) use policy::RepeatPolicy;
pub(in crate::client) use spec::{Purpose, RequestSpec};
