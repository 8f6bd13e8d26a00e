//! The calling side of links: all calls of a client to one peer share one link.

mod answer_intake;
mod call_answers;
mod call_deadlines;
mod call_order;
mod called_link;
mod calling_state;
mod link_call;
mod link_client;
mod link_driver;
mod link_place;
mod link_silence;
mod open_link;
mod pending_call;
mod reply_type;
mod request_encoding;
mod short_reply;

pub(crate) use link_call::{LinkHandle, LinkedCall, LinkedOutcome, MovedCall, WeakLinkHandle};
pub(in crate::route) use link_client::LinkClient;
pub(in crate::route) use link_place::{LinkPlace, LinkTarget};
pub(crate) use short_reply::ShortReply;
