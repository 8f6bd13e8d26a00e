//! The metadata that travels with each request.

use std::fmt;

use super::caller::Caller;
use super::headers::Headers;
use crate::environment::Deadline;
use crate::token::Token;

/// The metadata of a request.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    /// Unique among the requests of all clients; retries of one request share it.
    pub(crate) id: RequestId,
    pub(crate) deadline: Deadline,
    /// The registration that the client expects to reach; `None` from a Go client.
    pub(crate) token: Option<Token>,
    pub(crate) headers: Headers,
    /// Who sent it, as far as the connection shows it.
    /// `None` if the connection that the answer goes to knows.
    pub(crate) caller: Option<Caller>,
}

/// The identity of a request: one half is drawn once by its client, the other half is a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub u128);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
