//! The specification of one request, as its builder passes it on to be sent.

use super::policy::RepeatPolicy;
use crate::environment::Deadline;
use crate::message::Body;
use crate::name::Name;
use crate::route::Headers;

/// One request: its message, its receiver, and its limits.
pub(in crate::client) struct RequestSpec {
    pub(in crate::client) receiver: Name,
    pub(in crate::client) deadline: Deadline,
    pub(in crate::client) headers: Headers,
    /// `None` if it is lost: it was handed over in an earlier try.
    pub(in crate::client) body: Option<Body>,
    pub(in crate::client) purpose: Purpose,
    pub(in crate::client) policy: RepeatPolicy,
    pub(in crate::client) wait_for_name: bool,
    /// Whether to fail at once, instead of waiting, if the holder of the name cannot be reached.
    pub(in crate::client) fail_fast: bool,
    /// Code that itself answers requests sends it.
    pub(in crate::client) from_handler: bool,
}

/// The purpose of a request. It affects whether the message is kept for repeats, and how failures
/// are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Purpose {
    /// A message to a mailbox.
    Message,
    /// Asks a peer to start an actor. A copy of its message is kept even if the message is handed
    /// over by value, so that the start can be repeated if the peer reports that it did nothing.
    Start,
    /// Asks a peer to stop an actor. A copy of its message is kept, as for a start.
    Stop,
}
