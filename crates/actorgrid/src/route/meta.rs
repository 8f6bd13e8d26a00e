//! The metadata that goes with each request, beside its message.

use std::fmt;

use super::caller::Caller;
use super::headers::Headers;
use crate::environment::Deadline;
use crate::token::Token;

/// The metadata of a request.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    /// Unique among the requests of all clients; repeats of one request share it.
    pub(crate) id: RequestId,
    pub(crate) deadline: Deadline,
    /// The registration that the client expects to reach; none from a Go client.
    pub(crate) token: Option<Token>,
    pub(crate) headers: Headers,
    /// Who sent it, as far as the connection shows it.
    pub(crate) caller: Caller,
}

/// The identity of a request: one half drawn by its client once, one half counted by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub u128);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
