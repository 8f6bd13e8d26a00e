//! ractor with ractor_cluster.

use std::process::ExitCode;
use std::time::Duration;

use bench_kit::{About, BoxError, Caller, Contender, EchoOptions, LoadOptions, Served, echoed};
use contenders::{free_address, version_of, wait_until_answered};
use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, pg};
use ractor_cluster::{NodeServer, NodeServerMessage, RactorClusterMessage, client_connect};
use tokio::time::sleep;

/// Both nodes know it.
const COOKIE: &str = "bench";
const GROUP: &str = "echo";
const POLL: Duration = Duration::from_millis(20);
/// So often the group is looked at: 20 s in all.
const LOOKS: usize = 1_000;

struct RactorCluster;

#[derive(RactorClusterMessage)]
enum EchoCommand {
    #[rpc]
    Echo(String, RpcReplyPort<String>),
}

impl Contender for RactorCluster {
    type Caller = RactorCaller;

    fn about() -> About {
        About {
            name: "ractor_cluster".to_owned(),
            version: version_of("ractor_cluster"),
            messages: "a derive's own encoding of each argument, typed, with a text".to_owned(),
            names: "a process group, which nodes replicate".to_owned(),
            deadline: "none: one each makes it slower".to_owned(),
            encryption: "none".to_owned(),
            settings: "defaults".to_owned(),
        }
    }

    async fn serve(_options: &EchoOptions) -> Result<Served, BoxError> {
        let port = start_node("echo").await?.1;
        let (echo, _) = Actor::spawn(None, Echo, ()).await?;
        pg::join(GROUP.to_owned(), vec![echo.get_cell()]);
        Ok(Served::at(format!("127.0.0.1:{port}")))
    }

    async fn connect(options: &LoadOptions) -> Result<RactorCaller, BoxError> {
        let (node, _) = start_node("load").await?;
        client_connect(&node, &options.address).await?;
        for _ in 0..LOOKS {
            let member = pg::get_members(&GROUP.to_owned()).into_iter().next();
            if let Some(member) = member {
                let caller = RactorCaller(member.into());
                wait_until_answered(&caller).await?;
                return Ok(caller);
            }
            sleep(POLL).await;
        }
        Err("the group of the echo stayed empty".into())
    }
}

/// Starts a node and returns the port that it listens at.
async fn start_node(name: &str) -> Result<(ActorRef<NodeServerMessage>, u16), BoxError> {
    let port = free_address()?.port();
    let host = "127.0.0.1".to_owned();
    let server = NodeServer::new(port, COOKIE.to_owned(), name.to_owned(), host, None, None);
    let (node, _) = Actor::spawn(None, server, ()).await?;
    Ok((node, port))
}

struct Echo;

impl Actor for Echo {
    type Msg = EchoCommand;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _myself: ActorRef<EchoCommand>,
        _arguments: (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<EchoCommand>,
        message: EchoCommand,
        _state: &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let EchoCommand::Echo(mut text, reply) = message;
        text.truncate(echoed(text.len()));
        // An answer that nobody waits for any more is no reason to end.
        let _ = reply.send(text);
        Ok(())
    }
}

#[derive(Clone)]
struct RactorCaller(ActorRef<EchoCommand>);

impl Caller for RactorCaller {
    type Message = String;

    fn message(&self, bytes: usize) -> String {
        "x".repeat(bytes)
    }

    async fn call(&self, message: &String) -> Result<usize, BoxError> {
        let text = message.clone();
        let answer = self
            .0
            .call(|reply| EchoCommand::Echo(text, reply), None)
            .await;
        match answer.map_err(|error| error.to_string())? {
            CallResult::Success(text) => Ok(text.len()),
            CallResult::Timeout => Err("timeout".into()),
            CallResult::SenderError => Err("the reply was dropped".into()),
        }
    }
}

fn main() -> ExitCode {
    bench_kit::run_contender::<RactorCluster>()
}
