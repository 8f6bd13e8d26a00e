//! The end of an accepted link's connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::environment::Environment;
use crate::route::transport::Transport;

/// How long the client has to read the last word and to close.
pub(super) const LINGER_TIME: Duration = Duration::from_millis(500);
/// The bytes that are read at a time, and discarded, meanwhile.
const DISCARD_BYTES: usize = 4096;

/// Closes our side, and reads what still comes until the client closes too: otherwise the system
/// would answer it with a reset, which can overtake the last word.
pub(super) async fn linger(environment: &Environment, mut transport: Transport) {
    let discarding = async {
        if transport.shutdown().await.is_err() {
            return;
        }
        let mut bytes = [0; DISCARD_BYTES];
        while let Ok(1..) = transport.read(&mut bytes).await {}
    };
    environment.timeout(LINGER_TIME, discarding).await;
}
