//! elfo with its network.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use bench_kit::{About, BoxError, Caller, Contender, EchoOptions, LoadOptions, Served, echoed};
use contenders::{free_address, version_of, wait_until_answered};
use elfo::prelude::*;
use elfo::scope::{self, Scope};
use elfo::{Topology, topology};
use tokio::sync::oneshot;

struct Elfo;

#[message(ret = Echoed)]
struct Echo {
    text: String,
}

#[message]
struct Echoed {
    text: String,
}

impl Contender for Elfo {
    type Caller = ElfoCaller;

    fn about() -> About {
        About {
            name: "elfo".to_owned(),
            version: version_of("elfo"),
            messages: "serde (MessagePack), typed, with a text".to_owned(),
            names: "groups of actors on known nodes".to_owned(),
            deadline: "none".to_owned(),
            encryption: "none".to_owned(),
            settings: "defaults".to_owned(),
        }
    }

    async fn serve(_options: &EchoOptions) -> Result<Served, BoxError> {
        let address = free_address()?.to_string();
        let topology = Topology::empty();
        let echoes = topology.local("echoes");
        mount_system(&topology, &format!("listen = [\"tcp://{address}\"]"))?;
        echoes.mount(echo());
        tokio::spawn(elfo::init::try_start(topology));
        Ok(Served::at(address))
    }

    async fn connect(options: &LoadOptions) -> Result<ElfoCaller, BoxError> {
        let topology = Topology::empty();
        let loads = topology.local("loads");
        let echoes = topology.remote("echoes");
        loads.route_to(&echoes, |_, _| topology::Outcome::Broadcast);
        let address = &options.address;
        let network = format!(
            "discovery.predefined = [\"tcp://{address}\"]\ndiscovery.attempt_interval = \"50ms\""
        );
        mount_system(&topology, &network)?;
        let (sender, context) = oneshot::channel();
        loads.mount(lend_context(sender));
        tokio::spawn(elfo::init::try_start(topology));
        let (context, scope) = context.await?;
        let caller = ElfoCaller {
            context: Arc::new(context),
            scope: Mutex::new(scope),
        };
        wait_until_answered(&caller).await?;
        Ok(caller)
    }
}

/// Mounts what every node has, with these settings of its network.
fn mount_system(topology: &Topology, network: &str) -> Result<(), BoxError> {
    let settings: toml::Table = format!("[system.network]\n{network}\n").parse()?;
    let configurers = topology.local("system.configurers").entrypoint();
    let networks = topology.local("system.network");
    networks.mount(elfo::batteries::network::new(topology));
    configurers.mount(elfo::batteries::configurer::fixture(topology, settings));
    Ok(())
}

fn echo() -> Blueprint {
    ActorGroup::new().exec(|mut ctx| async move {
        while let Some(envelope) = ctx.recv().await {
            msg!(match envelope {
                (Echo { mut text }, token) => {
                    text.truncate(echoed(text.len()));
                    ctx.respond(token, Echoed { text });
                }
            });
        }
    })
}

/// An actor whose context sends the requests, within its scope.
fn lend_context(sender: oneshot::Sender<(Context, Scope)>) -> Blueprint {
    let sender = Arc::new(Mutex::new(Some(sender)));
    ActorGroup::new().exec(move |mut ctx| {
        let sender = Arc::clone(&sender);
        async move {
            let sender = sender.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(sender) = sender {
                // The load waits for it.
                let _ = sender.send((ctx.pruned(), scope::expose()));
            }
            while ctx.recv().await.is_some() {}
        }
    })
}

struct ElfoCaller {
    context: Arc<Context>,
    /// Each clone has one of its own, so nobody waits for this lock.
    scope: Mutex<Scope>,
}

impl ElfoCaller {
    fn scope(&self) -> Scope {
        let scope = self.scope.lock().unwrap_or_else(PoisonError::into_inner);
        scope.clone()
    }
}

impl Clone for ElfoCaller {
    fn clone(&self) -> Self {
        Self {
            context: Arc::clone(&self.context),
            scope: Mutex::new(self.scope()),
        }
    }
}

impl Caller for ElfoCaller {
    type Message = String;

    fn message(&self, bytes: usize) -> String {
        "x".repeat(bytes)
    }

    async fn call(&self, message: &String) -> Result<usize, BoxError> {
        let text = message.clone();
        // Requests can only be sent within the scope of an actor.
        let request = self.context.request(Echo { text }).resolve();
        let answer = self.scope().within(request).await;
        Ok(answer.map_err(|error| error.to_string())?.text.len())
    }
}

fn main() -> ExitCode {
    bench_kit::run_contender::<Elfo>()
}
