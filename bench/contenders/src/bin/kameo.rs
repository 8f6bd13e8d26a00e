//! kameo's remote actors.

use std::process::ExitCode;
use std::time::Duration;

use bench_kit::{About, BoxError, Caller, Contender, EchoOptions, LoadOptions, Served, echoed};
use contenders::{free_address, version_of, wait_until_answered};
use futures_util::StreamExt as _;
use kameo::prelude::*;
use kameo::remote;
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, tcp, yamux};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

const NAME: &str = "echo";
const POLL: Duration = Duration::from_millis(20);
/// So often the actor is looked up: 20 s in all.
const LOOKS: usize = 1_000;
/// The default of 100 is less than the requests in flight.
const MAX_STREAMS: usize = 4_096;
/// The default for requests is less than the large messages.
const MAX_MESSAGE: u64 = 8 << 20;

struct Kameo;

#[derive(Actor, RemoteActor)]
struct EchoActor;

#[derive(Serialize, Deserialize)]
struct Echo {
    text: String,
}

#[remote_message]
impl Message<Echo> for EchoActor {
    type Reply = String;

    async fn handle(&mut self, message: Echo, _ctx: &mut Context<Self, String>) -> String {
        let mut text = message.text;
        text.truncate(echoed(text.len()));
        text
    }
}

impl Contender for Kameo {
    type Caller = KameoCaller;

    fn about() -> About {
        About {
            name: "kameo".to_owned(),
            version: version_of("kameo"),
            messages: "serde (MessagePack in CBOR), typed, with a text".to_owned(),
            names: "looked up in a distributed hash table".to_owned(),
            deadline: "10 s each".to_owned(),
            encryption: "Noise".to_owned(),
            settings: "libp2p over TCP with TCP_NODELAY; 4,096 streams and messages of 8 MiB \
                       allowed"
                .to_owned(),
        }
    }

    async fn serve(_options: &EchoOptions) -> Result<Served, BoxError> {
        let mut swarm = start_swarm()?;
        let (address, peer) = (
            multiaddr(&free_address()?.to_string())?,
            *swarm.local_peer_id(),
        );
        swarm.listen_on(address.clone())?;
        tokio::spawn(run(swarm));
        EchoActor::spawn(EchoActor).register(NAME).await?;
        Ok(Served::at(format!("{peer} {address}")))
    }

    async fn connect(options: &LoadOptions) -> Result<KameoCaller, BoxError> {
        let (peer, address) = options.address.split_once(' ').ok_or("no such address")?;
        let (peer, address): (PeerId, Multiaddr) = (peer.parse()?, address.parse()?);
        let mut swarm = start_swarm()?;
        swarm.add_peer_address(peer, address.clone());
        swarm.dial(address)?;
        tokio::spawn(run(swarm));
        for _ in 0..LOOKS {
            // Until the nodes know each other, a lookup finds nothing or fails.
            if let Ok(Some(actor)) = RemoteActorRef::<EchoActor>::lookup(NAME).await {
                let caller = KameoCaller(actor);
                wait_until_answered(&caller).await?;
                return Ok(caller);
            }
            sleep(POLL).await;
        }
        Err("the actor was not found".into())
    }
}

fn multiaddr(address: &str) -> Result<Multiaddr, BoxError> {
    let (host, port) = address.split_once(':').ok_or("no such address")?;
    Ok(format!("/ip4/{host}/tcp/{port}").parse()?)
}

fn start_swarm() -> Result<Swarm<remote::Behaviour>, BoxError> {
    let settings = remote::messaging::Config::default()
        .with_max_concurrent_streams(MAX_STREAMS)
        .with_request_size_maximum(MAX_MESSAGE)
        .with_response_size_maximum(MAX_MESSAGE);
    let tcp = tcp::Config::default().nodelay(true);
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp, noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key| remote::Behaviour::new(key.public().to_peer_id(), settings))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    swarm.behaviour().try_init_global()?;
    Ok(swarm)
}

async fn run(mut swarm: Swarm<remote::Behaviour>) {
    loop {
        swarm.select_next_some().await;
    }
}

#[derive(Clone)]
struct KameoCaller(RemoteActorRef<EchoActor>);

impl Caller for KameoCaller {
    type Message = Echo;

    fn message(&self, bytes: usize) -> Echo {
        Echo {
            text: "x".repeat(bytes),
        }
    }

    async fn call(&self, message: &Echo) -> Result<usize, BoxError> {
        let answer = self
            .0
            .ask(message)
            .await
            .map_err(|error| error.to_string())?;
        Ok(answer.len())
    }
}

fn main() -> ExitCode {
    bench_kit::run_contender::<Kameo>()
}
