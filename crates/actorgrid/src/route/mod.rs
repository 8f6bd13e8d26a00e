//! How requests travel: one trait, and an implementation per route.
//!
//! A [`Route`] takes a [`Call`] to the [`Inbox`] of a name, and returns its answer. All routes have
//! the same semantics and the same errors. [`local`] moves a message by value within the process: a
//! request that needs no more than one try takes a place among [`local_calls`], others a channel.
//! The unary gRPC route, which is shared with the Go library, consists of [`calling`] (the client's
//! side), [`serving`] (the peer's side) and [`codec`] (the encoding). [`link`] is the route between
//! two processes of this library: frames of their own on one connection.

mod admission;
mod answer;
mod budget;
mod call;
mod call_places;
mod caller;
pub(crate) mod calling;
mod codec;
#[cfg(test)]
mod conformance;
mod directory;
mod headers;
mod incoming;
mod link;
mod local;
mod local_call;
mod local_calls;
mod local_reply;
mod meta;
mod pending;
mod reply_room;
mod request_source;
pub(crate) mod serving;
mod slab;
mod tasks;
#[cfg(test)]
mod tests;
mod transport;

pub(crate) use admission::Admission;
#[cfg(test)]
pub(crate) use answer::{AnswerReader, ReplyTo};
pub use call::DEFAULT_MAX_MESSAGE_BYTES;
pub(crate) use call::{Call, LinkRequest, ReferenceGuess, Route};
pub use caller::Caller;
pub(crate) use directory::{Directory, Inbox, NotDelivered, QueuePlace, Resolved};
pub(crate) use headers::Headers;
pub use headers::{MAX_HEADER_BYTES, MAX_HEADERS};
pub use incoming::Incoming;
pub(crate) use link::announced_link;
#[cfg(fuzzing)]
pub(crate) use link::any_bytes::any_bytes;
pub(crate) use link::calling::{
    LinkHandle, LinkedCall, LinkedOutcome, MovedCall, ShortReply, WeakLinkHandle,
};
pub(crate) use local::{LocalRefusal, LocalRequest, LocalRoute};
pub(crate) use local_call::{LocalCall, LocalOutcome};
pub(crate) use local_calls::CallDeadlines;
pub(crate) use meta::Meta;
pub use meta::RequestId;
pub(crate) use pending::LostReply;
pub use pending::Pending;
pub use serving::{
    DEFAULT_MAX_CONNECTIONS, DEFAULT_MAX_RECEIVED_BYTES, DEFAULT_MAX_RECEIVED_BYTES_PER_CONNECTION,
    DEFAULT_MAX_STREAMS_PER_CONNECTION,
};
