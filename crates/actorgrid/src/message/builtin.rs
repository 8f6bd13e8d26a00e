use bytes::{Bytes, BytesMut};
use prost::Message as _;

use super::{DecodeError, Message};
use crate::name::{IntoName, Name, NameError};
use crate::token::Token;
use crate::wire::{detail, grid};

/// The empty answer: the message was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ack {}

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

/// Asks a peer to stop one of its actors; answered once the actor has ended and its name is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorStop {
    name: Name,
    token: Option<Token>,
}

impl ActorStop {
    /// A stop of whatever holds `name`.
    ///
    /// # Errors
    ///
    /// [`NameError`] when a text is not a valid name.
    pub fn new(name: impl IntoName) -> Result<Self, NameError> {
        Ok(Self {
            name: name.into_name()?,
            token: None,
        })
    }

    /// Stops only the registration with this token.
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn expected(&self) -> Option<Token> {
        self.token
    }
}

/// A message that is written and read as a generated one.
macro_rules! as_generated {
    ($message:ty, $wire_name:literal, $reply:ty, |$this:ident| $to:expr, |$read:ident: $generated:ty| $from:expr) => {
        impl Message for $message {
            type Reply = $reply;
            const WIRE_NAME: &'static str = $wire_name;

            fn encoded_len(&self) -> usize {
                let $this = self;
                <$generated as prost::Message>::encoded_len(&$to)
            }

            fn encode(&self, buffer: &mut BytesMut) {
                let $this = self;
                // A BytesMut grows: encoding into it cannot run out of room.
                $to.encode_raw(buffer);
            }

            fn decode(_wire_name: &str, bytes: Bytes) -> Result<Self, DecodeError> {
                let $read =
                    <$generated as prost::Message>::decode(bytes).map_err(DecodeError::new)?;
                $from
            }
        }
    };
}

as_generated!(
    Ack,
    "github.com/lytics/grid/v3/Ack",
    Ack,
    |_this| grid::Ack {},
    |_read: grid::Ack| Ok(Self {})
);

as_generated!(
    EchoMsg,
    "github.com/lytics/grid/v3/EchoMsg",
    EchoMsg,
    |this| grid::EchoMsg {
        msg: this.msg.clone()
    },
    |read: grid::EchoMsg| Ok(Self { msg: read.msg })
);

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

as_generated!(
    ActorStop,
    "actorgrid/ActorStop",
    Ack,
    |this| detail::ActorStop {
        name: this.name.to_string(),
        token: this
            .token
            .map(|token| token.to_string())
            .unwrap_or_default(),
    },
    |read: detail::ActorStop| Ok(Self {
        name: Name::new(&read.name).map_err(DecodeError::new)?,
        token: (!read.token.is_empty())
            .then(|| read.token.parse().map_err(DecodeError::new))
            .transpose()?,
    })
);
