//! The parts that the contenders of this package share.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use bench_kit::{BoxError, Caller, locked_version};
use tokio::time::{Instant, sleep};

/// How long a load waits for its first answer: the sides have to find each other.
const FIRST_ANSWER: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(20);

/// The version of a library that these programs are built with.
#[must_use]
pub fn version_of(package: &str) -> String {
    locked_version(include_str!("../Cargo.lock"), package)
}

/// A free address of the loopback, for libraries that do not say which one they got.
///
/// # Errors
///
/// If there is none.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Calls until a call is answered.
///
/// # Errors
///
/// The last one, if none is answered for 20 s.
pub async fn wait_until_answered<C: Caller>(caller: &C) -> Result<(), BoxError> {
    let message = caller.message(1);
    let end = Instant::now() + FIRST_ANSWER;
    loop {
        let error = match tokio::time::timeout_at(end, caller.call(&message)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => "no answer".into(),
        };
        if Instant::now() >= end {
            return Err(error);
        }
        sleep(RETRY).await;
    }
}
