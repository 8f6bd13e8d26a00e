//! What the tests of a whole grid share: a simulated world with one registry, and a resource that
//! checks tokens.

#![allow(dead_code, clippy::unwrap_used)] // each test file uses a part

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actorgrid::{
    ActorType, Client, EchoMsg, Environment, MemoryRegistry, Request, Server, ServerBuilder,
    Simulation, Token,
};

pub(crate) struct World {
    pub(crate) simulation: Simulation,
    pub(crate) registry: MemoryRegistry,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_seed(1)
    }

    pub(crate) fn with_seed(seed: u64) -> Self {
        let simulation = Simulation::new(seed);
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

    /// The actor and mailbox keys that are registered for a name.
    pub(crate) fn keys_of(&self, name: &str) -> Vec<String> {
        let ours = [format!("test.actor.{name}"), format!("test.mailbox.{name}")];
        let mut keys = self.registry.keys();
        keys.retain(|key| ours.contains(key));
        keys
    }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The simulated time.
#[allow(clippy::disallowed_methods)] // the tests are outside of the world that they simulate
pub(crate) fn clock() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Lets time pass; the simulated one, which takes no real time.
pub(crate) async fn pass(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Waits until something is so, in simulated time; a minute at the most.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        pass(Duration::from_millis(10)).await;
    }
    panic!("not so within a minute: {what}");
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

/// An outside resource that remembers the greatest token of each name, and who holds what.
#[derive(Clone, Default)]
pub(crate) struct Resource {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    greatest: HashMap<String, Token>,
    holders: HashMap<String, usize>,
    most: usize,
    starts: Vec<(String, Token)>,
}

impl Resource {
    /// A change by the holder of `token`; whether the resource takes it.
    pub(crate) fn accept(&self, name: &str, token: Token) -> bool {
        let mut state = self.state.lock().unwrap();
        let greatest = state.greatest.entry(name.to_owned()).or_insert(token);
        if token < *greatest {
            return false;
        }
        *greatest = token;
        true
    }

    /// A holder has begun.
    pub(crate) fn hold(&self, name: &str, token: Token) -> Holding {
        assert!(
            self.accept(name, token),
            "a new holder of {name} has a smaller token: {token}"
        );
        let mut state = self.state.lock().unwrap();
        state.starts.push((name.to_owned(), token));
        let holders = state.holders.entry(name.to_owned()).or_default();
        *holders += 1;
        state.most = state.most.max(state.holders[name]);
        Holding {
            resource: self.clone(),
            name: name.to_owned(),
        }
    }

    /// The most holders that one name had at one time.
    pub(crate) fn most(&self) -> usize {
        self.state.lock().unwrap().most
    }

    /// Who holds a name now.
    pub(crate) fn holders(&self, name: &str) -> usize {
        self.state
            .lock()
            .unwrap()
            .holders
            .get(name)
            .copied()
            .unwrap_or_default()
    }

    /// The tokens under which a name was held, in their order.
    pub(crate) fn tokens(&self, name: &str) -> Vec<Token> {
        let state = self.state.lock().unwrap();
        state
            .starts
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, token)| *token)
            .collect()
    }

    /// An actor type whose actors hold their names at the resource until they are to stop.
    pub(crate) fn holder_type(&self, name: &str) -> ActorType {
        let resource = self.clone();
        ActorType::from_fn(name, move |_start, ctx| {
            let resource = resource.clone();
            async move {
                let _holding = resource.hold(ctx.name().as_str(), ctx.token()?);
                ctx.stopping().await;
                Ok(())
            }
        })
    }
}

/// A name that is held at a [`Resource`].
pub(crate) struct Holding {
    resource: Resource,
    name: String,
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut state = self.resource.state.lock().unwrap();
        *state.holders.get_mut(&self.name).unwrap() -= 1;
    }
}
