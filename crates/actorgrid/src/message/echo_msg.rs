//! A text as a message.

use super::as_generated::as_generated;
use crate::wire::grid;

/// A text, and the message that examples and tests greet each other with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EchoMsg {
    /// The text.
    pub msg: String,
}

impl EchoMsg {
    /// A message with this text.
    pub fn new(msg: impl Into<String>) -> Self {
        Self { msg: msg.into() }
    }
}

as_generated!(
    EchoMsg,
    "github.com/lytics/grid/v3/EchoMsg",
    EchoMsg,
    |this| grid::EchoMsg {
        msg: this.msg.clone()
    },
    |read: grid::EchoMsg| Ok(Self { msg: read.msg })
);
