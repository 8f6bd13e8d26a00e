//! The readers and counters of a job, by name.

use actorgrid::Client;
use futures_util::future::join_all;

/// Returns the names of the readers, or of the counters, of a job.
pub(crate) fn actor_names(
    actor_type: &str,
    job: i64,
    members: u32,
) -> impl Iterator<Item = String> + use<> {
    let actor_type = actor_type.to_owned();
    (0..members).map(move |index| format!("{actor_type}-{job}-{index}"))
}

/// Stops the readers and the counters of a job. Those that do not run any more are not an error.
pub(crate) async fn stop_actors(client: &Client, job: i64, members: u32) {
    let names = actor_names("reader", job, members).chain(actor_names("counter", job, members));
    for result in join_all(names.map(|name| client.stop(name))).await {
        if let Err(error) = result {
            tracing::debug!(%error, "an actor of the job was not stopped");
        }
    }
}
