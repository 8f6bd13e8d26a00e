//! The HTTP front: HTTP/1.1 on one side, requests to workers on the other.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use actorgrid::{BoxError, Client};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::answer::{Answer, Counts};
use crate::dispatch::{Dispatcher, Workers};

/// The maximum number of open connections. More wait to be accepted; each costs a task and a few
/// kilobytes.
const MAX_CONNECTIONS: usize = 1024;
/// The time limit for the head of a request, counted from the end of the previous one: a connection
/// that is idle for longer is closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long open requests may take at the end. Longer than a worker is waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait after a connection could not be accepted, for example because too many files
/// are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers callers on `listener` until `until` completes, and then those with open requests.
/// Returns counts of the answers.
///
/// # Errors
///
/// Fails if the registry does not report the workers.
pub(crate) async fn serve(
    listener: TcpListener,
    client: Client,
    until: impl Future<Output = ()>,
) -> Result<Arc<Counts>, BoxError> {
    let mut workers = Workers::of(&client).await?;
    let front = Arc::new(Front {
        dispatcher: Dispatcher::new(client, workers.published()),
        counts: Arc::default(),
    });
    let counts = front.counts.clone();
    // The connections end with this function, in either case.
    let mut connections = JoinSet::new();
    let graceful = GracefulShutdown::new();
    let accepted = async {
        loop {
            while connections.try_join_next().is_some() {}
            if connections.len() >= MAX_CONNECTIONS {
                connections.join_next().await;
            }
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = graceful.watch(front.clone().connection(stream));
                    connections.spawn(async {
                        if let Err(error) = connection.await {
                            tracing::debug!(%error, "connection failed");
                        }
                    });
                }
                Err(error) => accept_failed(&error).await,
            }
        }
    };
    tokio::select! {
        biased;
        () = until => {}
        () = workers.follow() => {}
        () = accepted => {}
    }
    drop(listener);
    tokio::select! {
        () = workers.follow() => {}
        drained = tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()) => {
            if drained.is_err() {
                tracing::warn!("dropping requests that are still open");
            }
        }
    }
    connections.shutdown().await;
    Ok(counts)
}

async fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset) {
        tracing::warn!(%error, "no connection was accepted");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Shared by all connections.
struct Front {
    dispatcher: Dispatcher,
    counts: Arc<Counts>,
}

impl Front {
    fn connection(
        self: Arc<Self>,
        stream: TcpStream,
    ) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
        // Answers are small, and each is a single write.
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |request| {
            let front = self.clone();
            async move { Ok::<_, Infallible>(front.respond(&request).await) }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
    }

    async fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let answer = if request.uri().path() != "/work" {
            Answer::NotFound
        } else if request.method() != Method::GET {
            Answer::MethodNotAllowed
        } else {
            self.dispatcher.ask(user(request.uri().query())).await
        };
        self.counts.add(&answer);
        answer.into_response()
    }
}

/// Returns the user that a query names, or none if it is empty.
fn user(query: Option<&str>) -> Option<String> {
    form_urlencoded::parse(query?.as_bytes())
        .find(|(key, _)| key == "user")
        .map(|(_, user)| user.into_owned())
        .filter(|user| !user.is_empty())
}

#[cfg(test)]
mod tests {
    use super::user;

    #[test]
    fn a_query_names_a_user_or_none() {
        let found = |query| user(Some(query));
        assert_eq!(found("user=x").as_deref(), Some("x"));
        assert_eq!(found("a=b&user=J%C3%B6rg+%26&c").as_deref(), Some("Jörg &"));
        assert_eq!(found("user="), None);
        assert_eq!(found("users=x"), None);
        assert_eq!(user(None), None);
    }
}
