//! Accepts connections.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpListener;

use super::connection::serve_connection;
use crate::etcd_core::EtcdCore;

/// Serves the connections of a listener, all in this future. Fails if the listener does.
pub(crate) async fn serve(core: &Arc<EtcdCore>, listener: TcpListener) -> std::io::Result<()> {
    // Limited by the number of connections: one without a place ends at once.
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = connections.next() => {}
            accepted = listener.accept() => {
                let (socket, _) = accepted?;
                // Only delays small messages if it fails.
                let _ = socket.set_nodelay(true);
                connections.push(serve_connection(core, socket));
            }
        }
    }
}
