//! The link by hand, as far as a hostile client needs it: raw frames, which obey only those rules
//! that an attack wants to obey.

mod connection;
mod field;
mod frame;
mod hello;
mod inbound;
mod request;

pub(crate) use connection::{AttackerLink, LinkReading};
pub(crate) use frame::{LINK_GREETING, LinkFrames, link_flag, link_kind};
pub(crate) use hello::{ClientHello, LEAST_CREDIT};
pub(crate) use request::{LinkRequest, LinkText, echo_body};
