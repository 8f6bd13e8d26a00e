//! Shared by the tests of a whole grid: a world with one registry, and a resource that checks
//! tokens.

// Each test file uses a part.
#![allow(dead_code, unused_macros, unused_imports, clippy::unwrap_used)]

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actorgrid::{
    ActorType, Client, EchoMsg, Environment, Kind, MemoryRegistry, Name, Registry, Request, Server,
    ServerBuilder, Simulation, Token,
};
#[cfg(feature = "etcd")]
use testbed::Etcd;

/// Runs tests, each of which takes a [`World`], on the memory registry in a simulated world and
/// paused time, and on their own etcd over real sockets in real time.
///
/// Tests that make the memory registry fail (lose a reply, be away, break a watch), count the calls
/// to it, or let a clock jump are not listed here: they take a [`MemoryWorld`]. Any other test that
/// runs on the memory registry alone says why.
macro_rules! on_both_registries {
    ($($test:ident,)+) => {
        mod memory {
            $(
                #[tokio::test(start_paused = true)]
                async fn $test() {
                    super::$test(super::world::World::on_memory()).await;
                }
            )+
        }

        #[cfg(feature = "etcd")]
        mod etcd {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(super::world::World::on_etcd().await).await;
                }
            )+
        }
    };
}
pub(crate) use on_both_registries;

/// Slack for a machine under load in real time, on top of a bound.
const LEEWAY: Duration = Duration::from_secs(4);

/// One registry, and the environment of its servers and clients.
pub(crate) struct World {
    setup: Setup,
    registry: Registry,
}

enum Setup {
    Simulated(Arc<Simulation>, MemoryRegistry),
    /// Real time and sockets.
    Memory(MemoryRegistry),
    #[cfg(feature = "etcd")]
    Etcd(Etcd),
}

impl World {
    /// The memory registry in a simulation.
    pub(crate) fn on_memory() -> Self {
        MemoryWorld::new().world
    }

    /// The memory registry in the real environment.
    pub(crate) fn on_real_memory() -> Self {
        let registry = MemoryRegistry::new(&Environment::real());
        Self {
            registry: registry.registry(),
            setup: Setup::Memory(registry),
        }
    }

    /// Starts an etcd that ends with this world. The test fails if no etcd is installed.
    #[cfg(feature = "etcd")]
    pub(crate) async fn on_etcd() -> Self {
        let etcd = Etcd::start();
        Self {
            registry: Registry::connect(&etcd.url()).await.unwrap(),
            setup: Setup::Etcd(etcd),
        }
    }

    /// Creates another world of the same kind, which shares nothing with this one.
    pub(crate) async fn another(&self) -> Self {
        match &self.setup {
            Setup::Simulated(..) => Self::on_memory(),
            Setup::Memory(_) => Self::on_real_memory(),
            #[cfg(feature = "etcd")]
            Setup::Etcd(_) => Self::on_etcd().await,
        }
    }

    /// Returns the environment of one more machine.
    pub(crate) fn environment(&self) -> Environment {
        match &self.setup {
            Setup::Simulated(simulation, _) => simulation.environment(),
            _ => Environment::real(),
        }
    }

    pub(crate) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    pub(crate) fn server(&self) -> ServerBuilder {
        self.server_in(self.environment())
    }

    pub(crate) fn server_in(&self, environment: Environment) -> ServerBuilder {
        Server::builder("test", self.registry()).environment(environment)
    }

    pub(crate) fn client(&self) -> Client {
        Client::builder("test", self.registry())
            .environment(self.environment())
            .build()
    }

    pub(crate) fn is_simulated(&self) -> bool {
        matches!(self.setup, Setup::Simulated(..))
    }

    /// Returns how long something may take.
    pub(crate) fn bound(&self, simulated: Duration) -> Duration {
        if self.is_simulated() {
            simulated
        } else {
            simulated + LEEWAY
        }
    }

    /// Lets time pass only to see that nothing happens: in real time a second at the most.
    pub(crate) async fn idle(&self, simulated: Duration) {
        if self.is_simulated() {
            pass(simulated).await;
        } else {
            pass(simulated.min(secs(1))).await;
        }
    }

    /// Returns the actor and mailbox keys that are registered for a name.
    pub(crate) async fn keys_of(&self, name: &str) -> Vec<String> {
        let ours = [format!("test.actor.{name}"), format!("test.mailbox.{name}")];
        match &self.setup {
            // Not as a client, which would meet the faults that are meant for others.
            Setup::Simulated(_, registry) | Setup::Memory(registry) => {
                let mut keys = registry.keys();
                keys.retain(|key| ours.contains(key));
                keys
            }
            #[cfg(feature = "etcd")]
            Setup::Etcd(_) => {
                let client = self.client();
                let name = Name::new(name).unwrap();
                let mut keys = Vec::new();
                for (kind, key) in [Kind::Actor, Kind::Mailbox].into_iter().zip(ours) {
                    if client.find(kind, &name).await.unwrap().is_some() {
                        keys.push(key);
                    }
                }
                keys
            }
        }
    }

    /// Waits until no actor and no mailbox has this name.
    pub(crate) async fn until_free(&self, name: &str) {
        for _ in 0..6_000 {
            if self.keys_of(name).await.is_empty() {
                return;
            }
            pass(Duration::from_millis(10)).await;
        }
        panic!("{name} is not free within a minute");
    }

    /// Returns all keys of the registry, in order.
    pub(crate) fn keys(&self) -> Vec<String> {
        match &self.setup {
            Setup::Simulated(_, registry) | Setup::Memory(registry) => registry.keys(),
            #[cfg(feature = "etcd")]
            Setup::Etcd(etcd) => {
                let keys = etcd.ctl(["get", "--prefix", "", "--keys-only"]);
                let keys = keys.lines().filter(|line| !line.is_empty());
                keys.map(str::to_owned).collect()
            }
        }
    }

    /// The number of live leases.
    pub(crate) fn leases(&self) -> usize {
        match &self.setup {
            Setup::Simulated(_, registry) | Setup::Memory(registry) => registry.leases(),
            #[cfg(feature = "etcd")]
            Setup::Etcd(etcd) => lease_ids(etcd).len(),
        }
    }

    /// Ends all leases at once, with what is registered under them.
    pub(crate) fn expire_leases(&self) {
        match &self.setup {
            Setup::Simulated(_, registry) | Setup::Memory(registry) => registry.expire_leases(),
            #[cfg(feature = "etcd")]
            Setup::Etcd(etcd) => {
                for lease in lease_ids(etcd) {
                    etcd.ctl(["lease", "revoke", &lease]);
                }
            }
        }
    }

    /// Deletes a key as an operator would. Returns whether it existed.
    pub(crate) fn delete(&self, key: &str) -> bool {
        match &self.setup {
            Setup::Simulated(_, registry) | Setup::Memory(registry) => registry.delete(key),
            #[cfg(feature = "etcd")]
            Setup::Etcd(etcd) => etcd.ctl(["del", key]).trim() == "1",
        }
    }

    /// Writes a key as an operator would, without a lease.
    pub(crate) fn overwrite(&self, key: &str, value: &'static str) {
        match &self.setup {
            Setup::Simulated(_, registry) | Setup::Memory(registry) => {
                registry.overwrite(key, value);
            }
            #[cfg(feature = "etcd")]
            Setup::Etcd(etcd) => drop(etcd.ctl(["put", key, value])),
        }
    }
}

#[cfg(feature = "etcd")]
fn lease_ids(etcd: &Etcd) -> Vec<String> {
    // The first line is a count.
    let leases = etcd.ctl(["lease", "list"]);
    leases.lines().skip(1).map(str::to_owned).collect()
}

/// A simulated world whose registry can be made to fail.
pub(crate) struct MemoryWorld {
    world: World,
    pub(crate) simulation: Arc<Simulation>,
    pub(crate) registry: MemoryRegistry,
}

impl MemoryWorld {
    pub(crate) fn new() -> Self {
        let simulation = Arc::new(Simulation::new(1));
        let registry = MemoryRegistry::new(&simulation.environment());
        Self {
            world: World {
                registry: registry.registry(),
                setup: Setup::Simulated(simulation.clone(), registry.clone()),
            },
            simulation,
            registry,
        }
    }
}

impl Deref for MemoryWorld {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns the world's time: simulated, or real.
#[allow(clippy::disallowed_methods)] // the tests run outside the world that they simulate
pub(crate) fn clock() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Lets the world's time pass. The simulated one takes no real time.
pub(crate) async fn pass(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Waits until a condition holds, in the world's time; panics after a minute.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        pass(Duration::from_millis(10)).await;
    }
    panic!("not true within a minute: {what}");
}

/// Creates an actor type whose actors answer with their names.
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

/// An outside resource that remembers the greatest token of each name, and its holders.
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
    /// Makes a change on behalf of the holder of `token`; returns whether the resource accepts it.
    pub(crate) fn accept(&self, name: &str, token: Token) -> bool {
        let mut state = self.state.lock().unwrap();
        let greatest = state.greatest.entry(name.to_owned()).or_insert(token);
        if token < *greatest {
            return false;
        }
        *greatest = token;
        true
    }

    /// Registers a holder that has begun.
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

    /// The largest number of holders that one name had at one time.
    pub(crate) fn most(&self) -> usize {
        self.state.lock().unwrap().most
    }

    /// The number of holders that a name has now.
    pub(crate) fn holders(&self, name: &str) -> usize {
        self.state
            .lock()
            .unwrap()
            .holders
            .get(name)
            .copied()
            .unwrap_or_default()
    }

    /// The tokens under which a name was held, in order.
    pub(crate) fn tokens(&self, name: &str) -> Vec<Token> {
        let state = self.state.lock().unwrap();
        state
            .starts
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, token)| *token)
            .collect()
    }

    /// Creates an actor type whose actors hold their names at the resource until asked to stop.
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
