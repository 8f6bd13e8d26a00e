//! The actors of the peer under attack.

use std::sync::Arc;
use std::time::Duration;

use actorgrid::{
    Actor, ActorContext, ActorResult, ActorStart, ActorType, BoxError, EchoMsg, Registry, Request,
    Server, ServerError,
};

use super::ledger::Ledger;

/// The namespace of the grid.
pub const NAMESPACE: &str = "hostile";
/// Answers each message with the message itself.
pub const ECHO: &str = "echo";
/// Answers each message with the message itself, and is not called by honest callers: behind ten
/// thousand requests in one mailbox, everybody waits alike.
pub const MIRROR: &str = "mirror";
/// Answers each message with an empty one.
pub const SINK: &str = "sink";
/// Answers each message with one of 4 MiB.
pub const LARGE: &str = "large";
/// Receives each message and answers none.
pub const SILENT: &str = "silent";
/// Never reads its mailbox, which has 100 places.
pub const DEAF_100: &str = "deaf-100";
/// Never reads its mailbox, which has 1,000 places.
pub const DEAF_1000: &str = "deaf-1000";
/// Never reads its mailbox, which has 4,000 places.
pub const DEAF_4000: &str = "deaf-4000";
/// The type whose constructor never ends.
pub const HANGING: &str = "hanging";
/// The text of a message that must never be executed.
pub const FORBIDDEN: &str = "must not be executed";

/// The size of the mailboxes that are read: honest callers must find a place while attackers take
/// many.
const CAPACITY: usize = 10_000;
/// The largest reply, less its envelope.
const LARGE_REPLY_BYTES: usize = (4 << 20) - 1_024;

/// Starts the peer on a free port of the loopback.
///
/// # Errors
///
/// Fails if the registry or the server does.
pub async fn serve(
    registry: Registry,
    lease_ttl: Duration,
    ledger: &Arc<Ledger>,
) -> Result<Server, ServerError> {
    let leading = Arc::clone(ledger);
    let mut server = Server::builder(NAMESPACE, registry)
        .lease_ttl(lease_ttl)
        // Abandoned starts count until this timeout, and everything must be back within 10 s.
        .constructor_timeout(Duration::from_secs(5))
        .actor_fn("leader", move |_start, ctx| lead(ctx, Arc::clone(&leading)))
        .actor(HANGING, async |_start| hang().await);
    for actor_type in actor_types(ledger) {
        server = server.actor_type(actor_type);
    }
    server.bind("127.0.0.1:0").await
}

/// Starts one actor of each type, under the name of its type.
///
/// # Errors
///
/// Fails if one of the starts does.
pub async fn start_actors(server: &Server) -> Result<(), BoxError> {
    for name in [
        ECHO, MIRROR, SINK, LARGE, SILENT, DEAF_100, DEAF_1000, DEAF_4000,
    ] {
        let start = ActorStart::new(name, name);
        server.client().start(server.peer(), start).await?;
    }
    Ok(())
}

fn actor_types(ledger: &Arc<Ledger>) -> [ActorType; 8] {
    let ledger = Arc::clone(ledger);
    let large = "l".repeat(LARGE_REPLY_BYTES);
    [
        answering(ECHO, move |message| {
            ledger.echo(message.msg == FORBIDDEN);
            message.clone()
        }),
        answering(MIRROR, Clone::clone),
        answering(SINK, |_| EchoMsg::default()),
        answering(LARGE, move |_| EchoMsg::new(large.clone())),
        ActorType::from_fn(SILENT, async |_start, ctx| stay_silent(ctx).await)
            .mailbox::<Request<EchoMsg>>(CAPACITY),
        deaf(DEAF_100, 100),
        deaf(DEAF_1000, 1_000),
        deaf(DEAF_4000, 4_000),
    ]
}

fn answering(
    name: &str,
    answer: impl Fn(&EchoMsg) -> EchoMsg + Send + Sync + 'static,
) -> ActorType {
    let answer = Arc::new(answer);
    ActorType::from_fn(name, move |_start, ctx| {
        let answer = Arc::clone(&answer);
        async move {
            let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(CAPACITY).await?;
            while let Some(request) = mailbox.recv().await {
                let reply = answer(request.message());
                // The actor must not end because the caller has gone.
                let _ = request.respond(reply);
            }
            Ok(())
        }
    })
    .mailbox::<Request<EchoMsg>>(CAPACITY)
}

fn deaf(name: &str, capacity: usize) -> ActorType {
    ActorType::from_fn(name, move |_start, ctx| async move {
        let _mailbox = ctx.mailbox::<Request<EchoMsg>>(capacity).await?;
        ctx.stopping().await;
        Ok(())
    })
    .mailbox::<Request<EchoMsg>>(capacity)
}

/// Keeps each request until its caller has gone.
async fn stay_silent(ctx: ActorContext) -> ActorResult {
    let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(CAPACITY).await?;
    while let Some(mut request) = mailbox.recv().await {
        ctx.spawn(async move { request.abandoned().await });
    }
    Ok(())
}

async fn lead(ctx: ActorContext, ledger: Arc<Ledger>) -> ActorResult {
    ledger.lead(ctx.token()?);
    ctx.stopping().await;
    Ok(())
}

/// An actor that is never constructed.
struct Never;

impl Actor for Never {
    async fn act(self, _ctx: ActorContext) -> ActorResult {
        Ok(())
    }
}

async fn hang() -> Result<Never, BoxError> {
    std::future::pending().await
}
