//! The bytes of the unary gRPC route: framed messages, headers, statuses.
//!
//! Framing is our own, on hyper: a generic gRPC stack copies every message once more, and has its
//! own texts where a Go client looks for those of its library.

pub(super) mod frame;
pub(super) mod health;
pub(super) mod metadata;
mod outgoing_body;
mod reader;
pub(super) mod status;

pub(super) use outgoing_body::Outgoing;
pub(super) use reader::{ReadError, Reader};
