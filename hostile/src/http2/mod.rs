//! HTTP/2 by hand, as far as a hostile client needs it: raw frames, which obey only those rules
//! that an attack wants to obey.

mod connection;
mod exchange;
mod frame;
mod header_block;
mod inbound;
mod message;
mod upload;

pub(crate) use connection::{Connection, Opening, Reading};
pub(crate) use exchange::{exchange, wait_for_ends};
pub(crate) use frame::{FrameHead, FrameWriter, PREFACE, flag, kind, setting};
pub(crate) use header_block::{HeaderBlock, request_block};
pub(crate) use inbound::{StreamEnd, StreamRecord};
pub(crate) use message::{Message, cut_message, start_message, stop_message};
pub(crate) use upload::{FRAME_BYTES, upload, write_some};
