//! The message that starts an actor.

use super::ack::Ack;
use super::as_generated::as_generated;
use super::decode_error::DecodeError;
use super::message::Message;
use crate::wire::grid;
use bytes::{Bytes, BytesMut};

/// Asks a peer to start an actor: its name, its type, and data for its constructor.
///
/// Sent to the peer's own mailbox by [`Client::start`](crate::Client::start). The texts are
/// checked by the peer that receives it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActorStart {
    name: String,
    actor_type: String,
    data: Bytes,
}

impl ActorStart {
    /// A start of the actor `name` of the type `actor_type`, without data.
    #[doc(alias = "NewActorStart")]
    pub fn new(name: impl Into<String>, actor_type: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            actor_type: actor_type.into(),
            data: Bytes::new(),
        }
    }

    /// Sets the data to the encoding of a message, which the constructor
    /// [decodes](Self::decode).
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

    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The actor's type.
    #[must_use]
    pub fn actor_type(&self) -> &str {
        &self.actor_type
    }

    /// The data as bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.data
    }

    /// The data as a message. (It carries no wire name: the type of the actor says what it is.)
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are not an `M`.
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
