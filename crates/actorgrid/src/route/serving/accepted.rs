//! Finds out which protocol an accepted connection speaks, by its first bytes.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncReadExt as _;
use tracing::debug;

use super::connection::serve_http2;
use super::end_orders::EndOrders;
use super::grid_service::GridService;
use super::served_connection::ServedConnection;
use crate::environment::Environment;
use crate::route::link::serving::serve_link;
use crate::route::link::{GREETING, Sniffed, sniff};
use crate::route::transport::Transport;

/// The time for a connection to say what it speaks, and to complete the greeting.
const GREETING_TIME: Duration = Duration::from_secs(5);
/// The time for the greeting of a connection that is accepted while the server ends.
const LAST_GREETING_TIME: Duration = Duration::from_millis(500);

/// Serves a connection to its end.
pub(super) async fn serve(
    connection: Arc<ServedConnection>,
    service: Arc<GridService>,
    mut transport: Transport,
    end: EndOrders,
) {
    let environment = connection.environment.clone();
    let mut too_late = pin!(too_late(&environment, &end));
    let first = match &service.link {
        Some(_) => first_bytes(&mut transport, too_late.as_mut()).await,
        None => Some((Sniffed::Other, BytesMut::new())),
    };
    match (first, &service.link) {
        (Some((Sniffed::Link, mut unread)), Some(link)) => {
            unread.advance(GREETING.len());
            let link = Arc::clone(link);
            serve_link(connection, link, transport, unread, &end, too_late).await;
        }
        (Some((_, unread)), _) => {
            transport.unread(unread.freeze());
            serve_http2(connection, service, transport, &end, too_late).await;
        }
        (None, _) => debug!("a connection says nothing"),
    }
}

/// Reads until it is clear what a connection speaks. None if it is not clear in time.
async fn first_bytes(
    transport: &mut Transport,
    too_late: Pin<&mut impl Future<Output = ()>>,
) -> Option<(Sniffed, BytesMut)> {
    let mut first = BytesMut::with_capacity(GREETING.len());
    let reading = async {
        while sniff(&first) == Sniffed::Undecided {
            match transport.read_buf(&mut first).await {
                Ok(bytes) if bytes > 0 => {}
                _ => return None,
            }
        }
        Some(())
    };
    let read = tokio::select! {
        biased;
        read = reading => read,
        () = too_late => None,
    };
    read.map(|()| (sniff(&first), first))
}

/// Ends when a connection that has not greeted is to be closed.
async fn too_late(environment: &Environment, end: &EndOrders) {
    tokio::select! {
        biased;
        () = end.evicted.cancelled() => {}
        () = async {
            end.graceful.cancelled().await;
            environment.sleep(LAST_GREETING_TIME).await;
        } => {}
        () = environment.sleep(GREETING_TIME) => {}
    }
}
