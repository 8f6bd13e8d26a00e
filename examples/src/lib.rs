//! Shared by the examples: the options of a grid, its servers, their output, and how they shut
//! down.

mod options;
mod output;
mod signals;

pub use options::GridOptions;
pub use output::{line, log_to_stderr};
pub use signals::interrupted;

use actorgrid::{BoxError, Server};
use futures_util::future::join_all;

/// Shuts the servers down concurrently: one after the other, each would take over the leader.
///
/// # Errors
///
/// Returns the first of the errors.
pub async fn shut_down(servers: Vec<Server>) -> Result<(), BoxError> {
    let results = join_all(servers.iter().map(|server| server.shutdown())).await;
    for result in results {
        result?;
    }
    Ok(())
}
