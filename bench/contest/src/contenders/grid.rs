//! The library that this is about, over links and over gRPC.

use actorgrid::{
    ActorContext, ActorResult, ActorStart, ActorType, Client, Registry, Request, Server,
};
use bench::{EchoBytes, GridCaller, NAMESPACE};
use bench_kit::{About, BoxError, Contender, EchoOptions, LoadOptions, Served, echoed};

/// The type of the actor. Its name is that of its peer, which no two runs share: a peer that is
/// killed holds its names until its lease has run out.
const ECHO: &str = "echo";
/// More than the requests in flight of any case: no request is refused as busy.
const CAPACITY: usize = 1 << 16;

/// Requests of actorgrid, as it is by default: over a link, unless `HAS_LINK` is false.
#[derive(Debug)]
pub struct Grid<const HAS_LINK: bool>;

/// Requests of actorgrid over a link.
pub type GridLink = Grid<true>;

/// Requests of actorgrid over gRPC.
pub type GridProcess = Grid<false>;

impl<const HAS_LINK: bool> Contender for Grid<HAS_LINK> {
    type Caller = GridCaller;

    fn about() -> About {
        About {
            name: match HAS_LINK {
                true => "actorgrid".to_owned(),
                false => "actorgrid over gRPC".to_owned(),
            },
            version: "this commit".to_owned(),
            messages: "prost, typed, with bytes".to_owned(),
            names: "looked up in etcd, fenced by a token".to_owned(),
            deadline: "10 s each".to_owned(),
            encryption: "none".to_owned(),
            settings: "defaults; an actor with a bounded mailbox of 65,536".to_owned(),
        }
    }

    async fn serve(options: &EchoOptions) -> Result<Served, BoxError> {
        let registry = connect_registry(options.registry.as_deref()).await?;
        let echo = ActorType::from_fn(ECHO, |_start, ctx| echo(ctx))
            .mailbox::<Request<EchoBytes>>(CAPACITY);
        let server = Server::builder(NAMESPACE, registry)
            .actor_type(echo)
            .link(HAS_LINK)
            .bind("127.0.0.1:0")
            .await?;
        let handle = server.handle();
        let actor = format!("{ECHO}-{}", handle.peer());
        let start = ActorStart::new(&actor, ECHO);
        handle.client().start(handle.peer(), start).await?;
        Ok(Served::at(actor).stopped_by(async move {
            server.handle().shutdown().await?;
            Ok(())
        }))
    }

    async fn connect(options: &LoadOptions) -> Result<GridCaller, BoxError> {
        let registry = connect_registry(options.registry.as_deref()).await?;
        let client = Client::builder(NAMESPACE, registry).link(HAS_LINK).build();
        GridCaller::new(client, &options.address)
    }

    fn bystander(caller: &GridCaller, address: &str) -> Option<Result<GridCaller, BoxError>> {
        Some(caller.another(address))
    }
}

async fn connect_registry(url: Option<&str>) -> Result<Registry, BoxError> {
    let url = url.ok_or("--registry is missing")?;
    Ok(Registry::connect(url).await?)
}

async fn echo(ctx: ActorContext) -> ActorResult {
    let mut mailbox = ctx.mailbox::<Request<EchoBytes>>(CAPACITY).await?;
    while let Some(request) = mailbox.recv().await {
        let (mut message, responder) = request.into_parts();
        message.content.truncate(echoed(message.content.len()));
        // An answer that nobody waits for any more is no reason to end.
        let _ = responder.respond(message);
    }
    Ok(())
}
