//! Keeps requests to an actor in flight for a fixed time and counts what is answered.

use std::time::Duration;

use actorgrid::{BoxError, Client};
use bench_kit::{Tally, Window, closed_loop};

use crate::grid_caller::GridCaller;

/// The requests that were answered between the end of the warm-up and the end of the measurement.
#[derive(Debug)]
pub struct Traffic {
    tally: Tally,
}

impl Traffic {
    /// How many requests were answered.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.tally.latencies().total()
    }

    /// The latency that `share` of the requests did not exceed.
    #[must_use]
    pub fn latency(&self, share: f64) -> Duration {
        self.tally.latencies().quantile(share)
    }
}

/// Sends to `actor` until the window ends, `in_flight` requests of `bytes` bytes at a time, each as
/// soon as the one before it is answered.
///
/// # Errors
///
/// The first error of a request: under this load there must be none.
pub async fn drive(
    client: &Client,
    actor: &str,
    in_flight: usize,
    bytes: usize,
    window: Window,
) -> Result<Traffic, BoxError> {
    let caller = GridCaller::new(client.clone(), actor)?;
    let tally = closed_loop(&caller, window, in_flight, text_of(bytes)).await;
    match tally.first_error() {
        Some(error) => Err(error.to_owned().into()),
        None => Ok(Traffic { tally }),
    }
}

/// The length of a text that takes `bytes` bytes encoded: with a tag and a length.
fn text_of(bytes: usize) -> usize {
    let overhead = if bytes < 130 { 2 } else { 3 };
    bytes.saturating_sub(overhead)
}
