//! Workers: one on each peer, and each with a mailbox of its own name.

use std::time::Duration;

use actorgrid::{ActorContext, ActorResult, ActorType, Name, Request};
use examples::line;

use crate::messages::{Done, Work};

/// What the names of the workers' mailboxes begin with.
pub(crate) const PREFIX: &str = "worker-";
/// Requests that wait for one worker; more are refused as busy.
const CAPACITY: usize = 256;

/// The name of the worker of a peer.
pub(crate) fn name_on(peer: &Name) -> String {
    format!("{PREFIX}{peer}")
}

/// Workers that take `work_time` for each request.
///
/// Declared with their mailbox: who sees it in the registry can send to it.
pub(crate) fn worker_type(work_time: Duration) -> ActorType {
    ActorType::from_fn("worker", move |_start, ctx| run(ctx, work_time))
        .mailbox::<Request<Work>>(CAPACITY)
}

async fn run(ctx: ActorContext, work_time: Duration) -> ActorResult {
    let mut mailbox = ctx.mailbox::<Request<Work>>(CAPACITY).await?;
    let (name, peer) = (ctx.name(), ctx.peer());
    line(format_args!(
        "WORKER start name={name} peer={peer} token={}",
        mailbox.token()?.revision()
    ));
    while let Some(request) = mailbox.recv().await {
        tracing::debug!(worker = %name, "working");
        if !work_time.is_zero() {
            tokio::time::sleep(work_time).await;
        }
        // A worker that stores something gives this token with it. One that is fenced ends here.
        let token = ctx.token()?.revision();
        let (Work { user }, responder) = request.into_parts();
        // An answer that nobody waits for any more is no reason to end.
        let _ = responder.respond(Done {
            user,
            worker: name.to_string(),
            token,
        });
    }
    Ok(())
}
