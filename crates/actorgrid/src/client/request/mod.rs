//! Requests: their options, the tries to send them, and the rules for repeating them.

mod builder;
mod drive;
mod first_try;
mod new_request;
mod policy;
mod receiver;
mod reply_future;
mod retry;
mod spec;

pub use builder::RequestBuilder;
pub(in crate::client) use drive::Drive;
pub(in crate::client) use policy::RepeatPolicy;
pub use reply_future::ReplyFuture;
pub(in crate::client) use spec::{Purpose, RequestSpec};
