//! Two nodes of a cluster of murmer.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bench_kit::{About, BoxError, Caller, Contender, EchoOptions, LoadOptions, Served, echoed};
use contenders::{free_address, version_of, wait_until_answered};
use iroh::{EndpointAddr, EndpointId, SecretKey, TransportAddr};
use murmer::cluster::config::ClusterConfig;
use murmer::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// Both nodes know it.
const COOKIE: &str = "bench";
const LABEL: &str = "echo/main";
const POLL: Duration = Duration::from_millis(20);
/// So often the actor is looked up: 20 s in all.
const LOOKS: usize = 1_000;

struct Murmer;

#[derive(Debug)]
struct EchoActor;

impl Actor for EchoActor {
    type State = ();
}

#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(result = String, remote = "bench::Echo")]
struct Echo {
    text: String,
}

#[handlers]
impl EchoActor {
    // By its name the macro knows that the last argument is the whole message.
    #[handler]
    fn echo(&mut self, _ctx: &ActorContext<Self>, _state: &mut (), msg: Echo) -> String {
        let mut text = msg.text;
        text.truncate(echoed(text.len()));
        text
    }
}

impl Contender for Murmer {
    type Caller = MurmerCaller;

    fn about() -> About {
        About {
            name: "murmer".to_owned(),
            version: version_of("murmer"),
            messages: "serde (bincode), typed, with a text".to_owned(),
            names: "a registry that nodes replicate".to_owned(),
            deadline: "none".to_owned(),
            encryption: "TLS (QUIC)".to_owned(),
            settings: "defaults, with a seed node".to_owned(),
        }
    }

    async fn serve(_options: &EchoOptions) -> Result<Served, BoxError> {
        let system = start_node("echo", None).await?;
        let address = system.local_addr().ok_or("the node has no address")?;
        let id = system.endpoint_id().ok_or("the node has no identity")?;
        let echo = system.start_public(LABEL, EchoActor, ());
        Ok(
            Served::at(format!("{id} {address}")).stopped_by(async move {
                system.shutdown().await;
                drop(echo);
                Ok(())
            }),
        )
    }

    async fn connect(options: &LoadOptions) -> Result<MurmerCaller, BoxError> {
        let (id, address) = options.address.split_once(' ').ok_or("no such address")?;
        let address = TransportAddr::Ip(address.parse()?);
        let seed = EndpointAddr::from_parts(id.parse::<EndpointId>()?, [address]);
        let system = Arc::new(start_node("load", Some(seed)).await?);
        for _ in 0..LOOKS {
            if let Some(echo) = system.lookup::<EchoActor>(LABEL) {
                let caller = MurmerCaller {
                    echo,
                    _system: system,
                };
                wait_until_answered(&caller).await?;
                return Ok(caller);
            }
            sleep(POLL).await;
        }
        Err("the actor was not found".into())
    }
}

async fn start_node(name: &str, seed: Option<EndpointAddr>) -> Result<System, BoxError> {
    let config = ClusterConfig::builder()
        .name(name)
        .listen(free_address()?)
        .cookie(COOKIE)
        .secret_key(SecretKey::generate())
        .seed_nodes(seed)
        .build()?;
    Ok(System::clustered_auto(config).await?)
}

#[derive(Clone)]
struct MurmerCaller {
    echo: Endpoint<EchoActor>,
    /// The node lasts as long as it.
    _system: Arc<System>,
}

impl Caller for MurmerCaller {
    type Message = Echo;

    fn message(&self, bytes: usize) -> Echo {
        Echo {
            text: "x".repeat(bytes),
        }
    }

    async fn call(&self, message: &Echo) -> Result<usize, BoxError> {
        let answer = self.echo.send(message.clone()).await;
        Ok(answer.map_err(|error| error.to_string())?.len())
    }
}

fn main() -> ExitCode {
    bench_kit::run_contender::<Murmer>()
}
