//! Requests of a client to one actor, as the load sends them.

use actorgrid::{BoxError, Client, Name};
use bench_kit::Caller;

use crate::echo_bytes::EchoBytes;

/// Calls one actor.
#[derive(Debug, Clone)]
pub struct GridCaller {
    client: Client,
    actor: Name,
}

impl GridCaller {
    /// Calls the actor of this name.
    ///
    /// # Errors
    ///
    /// If there can be no such name.
    pub fn new(client: Client, actor: &str) -> Result<Self, BoxError> {
        let actor = Name::new(actor)?;
        Ok(Self { client, actor })
    }
}

impl GridCaller {
    /// Calls another actor with the same client.
    ///
    /// # Errors
    ///
    /// If there can be no such name.
    pub fn another(&self, actor: &str) -> Result<Self, BoxError> {
        Self::new(self.client.clone(), actor)
    }
}

impl Caller for GridCaller {
    type Message = EchoBytes;

    fn message(&self, bytes: usize) -> EchoBytes {
        EchoBytes::of(bytes)
    }

    async fn call(&self, message: &EchoBytes) -> Result<usize, BoxError> {
        let answer = self.client.request(&self.actor, message.clone()).await?;
        Ok(answer.content.len())
    }
}
