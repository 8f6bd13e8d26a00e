//! elfo with its network.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use bench_kit::{About, BoxError, Caller, Contender, EchoOptions, LoadOptions, Served, echoed};
use contenders::{free_address, version_of, wait_until_answered};
use elfo::prelude::*;
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
            messages: "serde (MessagePack), typed".to_owned(),
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
        let caller = ElfoCaller(Arc::new(context.await?));
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

/// An actor whose context sends the requests.
fn lend_context(sender: oneshot::Sender<Context>) -> Blueprint {
    let sender = Arc::new(Mutex::new(Some(sender)));
    ActorGroup::new().exec(move |mut ctx| {
        let sender = Arc::clone(&sender);
        async move {
            let sender = sender.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(sender) = sender {
                // The load waits for it.
                let _ = sender.send(ctx.pruned());
            }
            while ctx.recv().await.is_some() {}
        }
    })
}

#[derive(Clone)]
struct ElfoCaller(Arc<Context>);

impl Caller for ElfoCaller {
    type Message = String;

    fn message(&self, bytes: usize) -> String {
        "x".repeat(bytes)
    }

    async fn call(&self, message: &String) -> Result<usize, BoxError> {
        let text = message.clone();
        let answer = self.0.request(Echo { text }).resolve().await;
        let answer = answer.map_err(|error| error.to_string())?;
        Ok(answer.text.len())
    }
}

fn main() -> ExitCode {
    bench_kit::run_contender::<Elfo>()
}
