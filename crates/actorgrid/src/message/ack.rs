//! The empty answer.

use super::as_generated::as_generated;
use crate::wire::grid;

/// The empty answer: the message was accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ack {}

as_generated!(
    Ack,
    "github.com/lytics/grid/v3/Ack",
    Ack,
    |_this| grid::Ack {},
    |_read: grid::Ack| Ok(Self {})
);
