//! Requests of a client to one actor, as the load sends them.

use actorgrid::{BoxError, Client, EchoMsg, Name};
use bench_kit::Caller;

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
    type Message = EchoMsg;

    fn message(&self, bytes: usize) -> EchoMsg {
        EchoMsg::new("x".repeat(bytes))
    }

    async fn call(&self, message: &EchoMsg) -> Result<usize, BoxError> {
        let answer = self.client.request(&self.actor, message.clone()).await?;
        Ok(answer.msg.len())
    }
}
