//! Workers: one on each peer, each with a mailbox under its own name.

use std::time::Duration;

use actorgrid::{ActorContext, ActorResult, ActorType, Name, Request};
use examples::line;

use crate::messages::{Done, Work};

/// The prefix of the names of the workers' mailboxes.
pub(crate) const PREFIX: &str = "worker-";
/// The number of requests that may wait for one worker; more are rejected as busy.
const CAPACITY: usize = 256;

/// Returns the name of a peer's worker.
pub(crate) fn name_on(peer: &Name) -> String {
    format!("{PREFIX}{peer}")
}

/// Creates the type of workers that take `work_time` for each request.
///
/// Declared with their mailbox, so that a client can send to a worker as soon as it sees it in the
/// registry.
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
        // A worker that stores anything stores this token with it. A fenced worker ends here.
        let token = ctx.token()?.revision();
        let (Work { user }, responder) = request.into_parts();
        // The worker must not end because nobody waits for the answer any more.
        let _ = responder.respond(Done {
            user,
            worker: name.to_string(),
            token,
        });
    }
    Ok(())
}
