//! The message that starts an actor.

use super::ack::Ack;
use super::as_generated::as_generated;
use super::decode_error::DecodeError;
use super::message::Message;
use crate::wire::grid;
use bytes::{Bytes, BytesMut};

/// Asks a peer to start an actor with this name, of this type, with data for its constructor.
///
/// [`Client::start`](crate::Client::start) sends it to the peer's own mailbox. The peer that
/// receives it checks the texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActorStart {
    name: String,
    actor_type: String,
    data: Bytes,
}

impl ActorStart {
    /// Creates a start of the actor `name` of type `actor_type`, without data.
    #[doc(alias = "NewActorStart")]
    pub fn new(name: impl Into<String>, actor_type: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            actor_type: actor_type.into(),
            data: Bytes::new(),
        }
    }

    /// Sets the data to the encoding of a message, which the constructor [decodes](Self::decode).
    #[must_use]
    pub fn message<M: Message>(mut self, message: &M) -> Self {
        let mut buffer = BytesMut::with_capacity(message.encoded_len());
        message.encode(&mut buffer);
        self.data = buffer.freeze();
        self
    }

    /// Sets the data to these bytes.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Returns the actor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the actor's type.
    #[must_use]
    pub fn actor_type(&self) -> &str {
        &self.actor_type
    }

    /// Returns the data as bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.data
    }

    /// Decodes the data as a message. (It carries no wire name: the actor's type implies the
    /// message.)
    ///
    /// # Errors
    ///
    /// Returns [`DecodeError`] if the bytes are not an `M`.
    pub fn decode<M: Message>(&self) -> Result<M, DecodeError> {
        M::decode(M::WIRE_NAME, self.data.clone())
    }
}

as_generated!(
    ActorStart,
    "github.com/lytics/grid/v3/ActorStart",
    Ack,
    |this| grid::ActorStart {
        r#type: this.actor_type.clone(),
        name: this.name.clone(),
        data: this.data.clone(),
    },
    |read: grid::ActorStart| Ok(Self {
        name: read.name,
        actor_type: read.r#type,
        data: read.data,
    })
);
