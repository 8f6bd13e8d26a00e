//! The calling side of links: one link to a peer, which all calls of a client to it share.

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

pub(in crate::route) use link_client::LinkClient;
pub(in crate::route) use link_place::{LinkPlace, LinkTarget};
