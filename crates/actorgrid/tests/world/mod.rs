//! What the tests of a whole grid share: a simulated world with one registry.

#![allow(dead_code)] // each test file uses a part

use actorgrid::{
    ActorType, Client, EchoMsg, Environment, MemoryRegistry, Request, Server, ServerBuilder,
    Simulation,
};

pub(crate) struct World {
    pub(crate) simulation: Simulation,
    pub(crate) registry: MemoryRegistry,
}

impl World {
    pub(crate) fn new() -> Self {
        let simulation = Simulation::new(1);
        let registry = MemoryRegistry::new(&simulation.environment());
        Self {
            simulation,
            registry,
        }
    }

    pub(crate) fn server(&self) -> ServerBuilder {
        self.server_in(self.simulation.environment())
    }

    pub(crate) fn server_in(&self, environment: Environment) -> ServerBuilder {
        Server::builder("test", self.registry.registry()).environment(environment)
    }

    pub(crate) fn client(&self) -> Client {
        Client::builder("test", self.registry.registry())
            .environment(self.simulation.environment())
            .build()
    }
}

/// An actor type whose actors answer with their names.
pub(crate) fn echo_type(name: &str) -> ActorType {
    ActorType::from_fn(name, async |_start, ctx| {
        let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(100).await?;
        while let Some(request) = mailbox.recv().await {
            let text = format!("{} from {}", request.message().msg, ctx.name());
            request.respond(EchoMsg::new(text))?;
        }
        Ok(())
    })
    .mailbox::<Request<EchoMsg>>(100)
}
