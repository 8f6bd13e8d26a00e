//! One connection.

use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::router::Router;
use super::stream_tasks::StreamTasks;
use crate::etcd_core::EtcdCore;

/// Serves a connection until it ends or is cut. While the server is frozen, it stands still.
pub(crate) async fn serve_connection<I>(core: &Arc<EtcdCore>, io: I)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(_place) = core.connect() else {
        return;
    };
    let mut conditions = core.conditions();
    let cuts = conditions.borrow().cuts;
    let bounds = core.with(|state, _| state.bounds.clone());
    let tasks = StreamTasks::default();
    let connection = http2::Builder::new(tasks.clone())
        .max_concurrent_streams(bounds.max_streams_per_connection)
        .serve_connection(TokioIo::new(io), Router::new(core, &bounds));
    let mut serving = pin!(tasks.drive(connection));
    loop {
        let current = *conditions.borrow_and_update();
        if current.refusing || current.cuts != cuts {
            return;
        }
        tokio::select! {
            biased;
            changed = conditions.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = &mut serving, if !current.frozen => return,
        }
    }
}
