//! The message that stops an actor.

use super::ack::Ack;
use super::as_generated::as_generated;
use super::decode_error::DecodeError;
use crate::name::{IntoName, Name, NameError};
use crate::token::Token;
use crate::wire::detail;

/// Asks a peer to stop one of its actors; answered once the actor has ended and its name is free.
///
/// An actor that does not end within the [time](crate::ServerBuilder::shutdown_timeout) that its
/// peer allows is aborted. If its name is not free a second after that, the answer is
/// [`StopFailed`](crate::RequestErrorKind::StopFailed); later stops of that actor get the same
/// answer at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorStop {
    name: Name,
    token: Option<Token>,
}

impl ActorStop {
    /// Creates a stop of the current holder of `name`.
    ///
    /// # Errors
    ///
    /// Returns [`NameError`] if the text is not a valid name.
    pub fn new(name: impl IntoName) -> Result<Self, NameError> {
        Ok(Self {
            name: name.into_name()?,
            token: None,
        })
    }

    /// Limits the stop to the registration with this token.
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
