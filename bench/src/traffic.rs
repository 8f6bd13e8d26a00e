//! Keeps requests in flight for a fixed time and counts what is answered.

use std::time::{Duration, Instant};

use actorgrid::{BoxError, Client, EchoMsg};

use crate::latency_histogram::LatencyHistogram;

/// The requests that were answered between the end of the warm-up and the end of the measurement.
#[derive(Debug)]
pub struct Traffic {
    latencies: LatencyHistogram,
}

impl Traffic {
    /// How many requests were answered.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.latencies.total()
    }

    /// The latency that `share` of the requests did not exceed.
    #[must_use]
    pub fn latency(&self, share: f64) -> Duration {
        self.latencies.quantile(share)
    }
}

/// Sends to `actor` until `end`, `in_flight` requests at a time, each as soon as the one before it
/// is answered. Counts those that are answered from `begin` on.
///
/// # Errors
///
/// The first error of a request: under this load there must be none.
pub async fn drive(
    client: &Client,
    actor: &'static str,
    in_flight: usize,
    bytes: usize,
    begin: Instant,
    end: Instant,
) -> Result<Traffic, BoxError> {
    let message = message_of(bytes);
    let callers: Vec<_> = (0..in_flight)
        .map(|_| {
            let (client, message) = (client.clone(), message.clone());
            tokio::spawn(call(client, actor, message, begin, end))
        })
        .collect();
    let mut latencies = LatencyHistogram::new();
    for caller in callers {
        latencies.add(&caller.await??);
    }
    Ok(Traffic { latencies })
}

async fn call(
    client: Client,
    actor: &'static str,
    message: EchoMsg,
    begin: Instant,
    end: Instant,
) -> Result<LatencyHistogram, BoxError> {
    let mut latencies = LatencyHistogram::new();
    let mut sent = Instant::now();
    while sent < end {
        client.request(actor, message.clone()).await?;
        let answered = Instant::now();
        if answered >= begin && answered < end {
            latencies.record(answered - sent);
        }
        sent = answered;
    }
    Ok(latencies)
}

/// A message that takes `bytes` bytes encoded: a tag, a length and the text.
fn message_of(bytes: usize) -> EchoMsg {
    let overhead = if bytes < 130 { 2 } else { 3 };
    EchoMsg::new("x".repeat(bytes.saturating_sub(overhead)))
}
