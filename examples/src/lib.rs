//! What the examples share: the options of a grid, its servers, and the way to their end.

mod options;
mod output;
mod signals;

pub use options::GridOptions;
pub use output::{line, log_to_stderr};
pub use signals::interrupted;

use actorgrid::{BoxError, Server};
use futures_util::future::join_all;

/// Shuts the servers down, all at once: one after the other, each would take over the leader.
///
/// # Errors
///
/// The first of the errors.
pub async fn shut_down(servers: Vec<Server>) -> Result<(), BoxError> {
    let results = join_all(servers.iter().map(|server| server.shutdown())).await;
    for result in results {
        result?;
    }
    Ok(())
}
