//! Requests: what is to be sent, the tries at sending it, and when to repeat them.

mod builder;
mod drive;
mod policy;
mod retry;
mod spec;

pub use builder::RequestBuilder;
pub(in crate::client) use drive::Drive;
pub(in crate::client) use policy::RepeatPolicy;
pub(in crate::client) use spec::{Purpose, RequestSpec};
