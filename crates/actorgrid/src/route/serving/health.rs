//! The standard gRPC health service, as a peer offers it.
//!
//! It knows one service, the peer itself, under the empty name.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use futures_util::stream;
use http::Response;
use http_body::Frame;
use hyper::body::Incoming as HttpBody;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::answers::{UNMARSHALLING, answer, failed, malformed, replied, trailers, unreadable};
use crate::environment::Environment;
use crate::route::admission::Serving;
use crate::route::codec::delivery::{Framed, frame_message};
use crate::route::codec::health::MAX_HEALTH_BYTES;
use crate::route::codec::metadata::DEFAULT_DEADLINE;
use crate::route::codec::{Outgoing, Reader};
use crate::wire::health::health_check_response::ServingStatus;
use crate::wire::health::{HealthCheckRequest, HealthCheckResponse};

/// Tells whether the peer serves.
pub(super) struct HealthService {
    pub(super) environment: Environment,
    pub(super) serving: Serving,
    /// Cancelled when the server takes no more requests; streams end then.
    pub(super) ending: CancellationToken,
}

impl HealthService {
    /// Answers with what is so at this moment.
    pub(super) async fn check(&self, body: HttpBody, time: Option<Duration>) -> Response<Outgoing> {
        match self.is_of_peer(body, time).await {
            Ok(true) => replied(message(now(&self.serving))),
            // Word for word what grpc-go says.
            Ok(false) => failed(&Status::not_found("unknown service")),
            Err(status) => failed(&status),
        }
    }

    /// Answers with what is so now, and then with each change, until the client leaves, its time
    /// is over, or the server takes no more requests. Without a time it has no bound.
    pub(super) async fn watch(&self, body: HttpBody, time: Option<Duration>) -> Response<Outgoing> {
        let until: Until = match time {
            Some(time) => Box::pin(self.environment.sleep(time)),
            None => Box::pin(std::future::pending()),
        };
        match self.is_of_peer(body, time).await {
            Ok(known) => {
                let watching = HealthWatching {
                    known,
                    serving: self.serving.clone(),
                    ending: self.ending.clone(),
                    until,
                    told: None,
                };
                answer(Outgoing::frames(watching.frames()))
            }
            Err(status) => failed(&status),
        }
    }

    /// Reads the request: whether it asks for the one service that there is.
    async fn is_of_peer(
        &self,
        body: HttpBody,
        time: Option<Duration>,
    ) -> Result<bool, Box<Status>> {
        let mut reader = Reader::new(body, MAX_HEALTH_BYTES);
        let time = time.unwrap_or(DEFAULT_DEADLINE);
        let bytes = self
            .environment
            .timeout(time, reader.message())
            .await
            .ok_or_else(|| Box::new(out_of_time()))?
            .map_err(|error| unreadable(&error, MAX_HEALTH_BYTES))?;
        let request = HealthCheckRequest::decode(bytes).map_err(|_| malformed(UNMARSHALLING))?;
        Ok(request.service.is_empty())
    }
}

type Until = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One stream of states. It remembers only what it told last: a reader that is slow misses what
/// was so in between.
struct HealthWatching {
    known: bool,
    serving: Serving,
    ending: CancellationToken,
    until: Until,
    told: Option<ServingStatus>,
}

enum HealthStep {
    Status(ServingStatus),
    End(Status),
}

impl HealthWatching {
    fn frames(self) -> impl Stream<Item = Frame<Framed>> + Send {
        stream::unfold(Some(self), |watching| async move {
            let mut watching = watching?;
            Some(match watching.next().await {
                HealthStep::Status(status) => (Frame::data(message(status)), Some(watching)),
                HealthStep::End(status) => (Frame::trailers(trailers(&status)), None),
            })
        })
    }

    async fn next(&mut self) -> HealthStep {
        loop {
            // Without a sender the peer is gone.
            let ends = self.ending.is_cancelled() || self.serving.has_changed().is_err();
            self.serving.mark_unchanged();
            let now = match (self.known, ends) {
                (false, _) => ServingStatus::ServiceUnknown,
                (true, true) => ServingStatus::NotServing,
                (true, false) => now(&self.serving),
            };
            if self.told != Some(now) {
                self.told = Some(now);
                return HealthStep::Status(now);
            }
            if ends {
                return HealthStep::End(Status::ok(""));
            }
            tokio::select! {
                biased;
                () = self.ending.cancelled() => {}
                () = self.until.as_mut() => return HealthStep::End(out_of_time()),
                _ = self.serving.changed() => {}
            }
        }
    }
}

/// The clock is read too: a peer whose time has run out does not serve, though nobody has noticed
/// it yet.
fn now(serving: &Serving) -> ServingStatus {
    let admission = serving.borrow();
    match admission.as_ref().is_some_and(|now| now.admits()) {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    }
}

fn message(status: ServingStatus) -> Framed {
    frame_message(&HealthCheckResponse {
        status: status.into(),
    })
}

fn out_of_time() -> Status {
    Status::deadline_exceeded("context deadline exceeded")
}
