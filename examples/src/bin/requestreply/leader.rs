//! The leader: keeps one worker running on each peer.

use std::time::Duration;

use actorgrid::{
    ActorContext, ActorResult, ActorStart, Kind, Name, RequestError, RequestErrorKind, WatchEvent,
};
use examples::line;

use crate::worker;

/// How long to wait before restarting a worker that has ended, and before asking again a peer that
/// could not start its worker: one that always fails must not keep the grid busy.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn lead(ctx: ActorContext) -> ActorResult {
    let token = ctx.token()?.revision();
    line(format_args!(
        "LEADER start peer={} token={token}",
        ctx.peer()
    ));
    // Watched before any worker is started, so that no end goes unnoticed.
    let (_, mut actors) = ctx.client().watch(Kind::Actor).await?;
    let (now, mut peers) = ctx.client().watch(Kind::Peer).await?;
    for peer in now {
        start_in_background(&ctx, peer.name, Duration::ZERO);
    }
    loop {
        tokio::select! {
            biased;
            _ = ctx.stopping() => return Ok(()),
            event = peers.next() => {
                if let WatchEvent::Appeared(peer) = event {
                    start_in_background(&ctx, peer.name, Duration::ZERO);
                }
            }
            event = actors.next() => {
                if let WatchEvent::Disappeared(actor) = event
                    && actor.name.as_str() == worker::name_on(&actor.peer)
                {
                    start_in_background(&ctx, actor.peer, PAUSE);
                }
            }
        }
    }
}

/// A peer that hangs must not delay the others. The task ends with the leader.
fn start_in_background(ctx: &ActorContext, peer: Name, mut pause: Duration) {
    let leader = ctx.clone();
    ctx.spawn(async move {
        loop {
            tokio::time::sleep(pause).await;
            pause = PAUSE;
            let Err(error) = start(&leader, &peer).await else {
                return;
            };
            // A peer that has gone is not asked again; if it comes back, the watch reports it.
            if !error.is_retryable() || error.kind() == RequestErrorKind::UnknownName {
                tracing::info!(%peer, %error, "no worker");
                return;
            }
            tracing::info!(%peer, %error, "no worker yet");
        }
    });
}

/// Starts the worker of a peer, unless it runs already.
async fn start(ctx: &ActorContext, peer: &Name) -> Result<(), RequestError> {
    let start = ActorStart::new(worker::name_on(peer), "worker");
    match ctx.client().start(peer, start).await {
        Err(error) if error.kind() == RequestErrorKind::AlreadyRunning => Ok(()),
        result => result.map(|_| ()),
    }
}
