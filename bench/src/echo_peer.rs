//! A peer with one actor that answers each message with the same message.

use actorgrid::{
    ActorContext, ActorResult, ActorStart, ActorType, BoxError, Client, Registry, Request,
    RequestError, Server,
};

use crate::echo_bytes::EchoBytes;

/// The grid of the load.
pub const NAMESPACE: &str = "bench";
/// The actor, and its type.
const ECHO: &str = "echo";
/// More than the requests in flight of any case: no request is refused as busy.
const CAPACITY: usize = 1 << 16;

/// Starts a peer on the registry of `url`.
///
/// # Errors
///
/// Those of the registry and of the address.
pub async fn start_peer(url: &str) -> Result<Server, BoxError> {
    let registry = Registry::connect(url).await?;
    let server = Server::builder(NAMESPACE, registry)
        .actor_type(
            ActorType::from_fn(ECHO, |_start, ctx| echo(ctx))
                .mailbox::<Request<EchoBytes>>(CAPACITY),
        )
        .bind("127.0.0.1:0")
        .await?;
    Ok(server)
}

/// Starts the actor on a peer and returns its name.
///
/// # Errors
///
/// Those of the request.
pub async fn start_actor(client: &Client, peer: &str) -> Result<&'static str, RequestError> {
    client.start(peer, ActorStart::new(ECHO, ECHO)).await?;
    Ok(ECHO)
}

async fn echo(ctx: ActorContext) -> ActorResult {
    let mut mailbox = ctx.mailbox::<Request<EchoBytes>>(CAPACITY).await?;
    while let Some(request) = mailbox.recv().await {
        let reply = request.message().clone();
        // An answer that nobody waits for any more is no reason to end.
        let _ = request.respond(reply);
    }
    Ok(())
}
