//! The standard gRPC health service, as a peer offers it.
//!
//! It knows three services. The empty name and `ready` report whether the peer serves at the
//! moment. `live` reports whether its process works: a peer that starts, is fenced or rejoins is
//! live, and the registry is not asked, so that an outage of the registry restarts nothing.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use futures_util::stream;
use h2::RecvStream;
use http::Response;
use http_body::Frame;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::answers::{UNMARSHALLING, answer, failed, malformed, replied, trailers, unreadable};
use super::message_reader::{MessageReader, Unreadable};
use super::served_connection::ServedConnection;
use crate::environment::Environment;
use crate::route::admission::Serving;
use crate::route::codec::Outgoing;
use crate::route::codec::frame::{Framed, frame_message};
use crate::route::codec::health::MAX_HEALTH_BYTES;
use crate::route::codec::metadata::DEFAULT_DEADLINE;
use crate::wire::health::health_check_response::ServingStatus;
use crate::wire::health::{HealthCheckRequest, HealthCheckResponse};

/// Reports whether the peer serves, and whether it is live.
pub(super) struct HealthService {
    pub(super) environment: Environment,
    pub(super) serving: Serving,
    /// Cancelled when the server accepts no more requests; streams end then.
    pub(super) ending: CancellationToken,
}

/// The subject of a health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HealthSubject {
    /// Whether the peer serves: the empty name and `ready`.
    Ready,
    /// Whether the process of the peer works.
    Live,
    /// A service that does not exist here.
    Unknown,
}

impl HealthSubject {
    fn of_service(name: &str) -> Self {
        match name {
            "" | "ready" => Self::Ready,
            "live" => Self::Live,
            _ => Self::Unknown,
        }
    }

    /// Returns the status at the moment. `ended` means that the server accepts no more requests, or
    /// is gone.
    fn status(self, serving: &Serving, ended: bool) -> ServingStatus {
        let serves = match self {
            Self::Unknown => return ServingStatus::ServiceUnknown,
            Self::Live => !ended,
            // This also reads the clock: a peer whose time has run out does not serve, even before
            // anything has noticed.
            Self::Ready => {
                let admission = serving.borrow();
                !ended && admission.as_ref().is_some_and(|now| now.admits())
            }
        };
        match serves {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        }
    }
}

impl HealthService {
    /// Answers with the status at the moment.
    pub(super) async fn check(
        &self,
        body: RecvStream,
        time: Option<Duration>,
        connection: &ServedConnection,
    ) -> Response<Outgoing> {
        match self.subject(body, time, connection).await {
            // Word for word the text of grpc-go.
            Ok(HealthSubject::Unknown) => failed(&Status::not_found("unknown service")),
            Ok(subject) => replied(message(subject.status(&self.serving, self.has_ended()))),
            Err(status) => failed(&status),
        }
    }

    /// Answers with the status at the moment, and then with each change, until the client
    /// disconnects, its time is over, or the server accepts no more requests. Unbounded if the
    /// client sets no time.
    pub(super) async fn watch(
        &self,
        body: RecvStream,
        time: Option<Duration>,
        connection: &ServedConnection,
    ) -> Response<Outgoing> {
        let until: Until = match time {
            Some(time) => Box::pin(self.environment.sleep(time)),
            None => Box::pin(std::future::pending()),
        };
        match self.subject(body, time, connection).await {
            Ok(subject) => {
                let watching = HealthWatching {
                    subject,
                    serving: self.serving.clone(),
                    ending: self.ending.clone(),
                    until,
                    last: None,
                };
                answer(Outgoing::frames(watching.frames()))
            }
            Err(status) => failed(&status),
        }
    }

    /// If the sender of its state is gone, the peer is gone.
    fn has_ended(&self) -> bool {
        self.ending.is_cancelled() || self.serving.has_changed().is_err()
    }

    /// Reads the request.
    async fn subject(
        &self,
        body: RecvStream,
        time: Option<Duration>,
        connection: &ServedConnection,
    ) -> Result<HealthSubject, Box<Status>> {
        let reader = MessageReader::new(connection, body, MAX_HEALTH_BYTES);
        let time = time.unwrap_or(DEFAULT_DEADLINE);
        let bytes = self
            .environment
            .timeout(time, reader.small_message())
            .await
            .ok_or_else(|| Box::new(out_of_time()))?
            .map_err(|error| match error {
                Unreadable::Slow => Box::new(out_of_time()),
                error => Box::new(unreadable(error, MAX_HEALTH_BYTES).status),
            })?;
        let request = HealthCheckRequest::decode(bytes).map_err(|_| malformed(UNMARSHALLING))?;
        Ok(HealthSubject::of_service(&request.service))
    }
}

type Until = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One stream of statuses. It remembers only the last status that it sent: a slow reader misses the
/// ones in between.
struct HealthWatching {
    subject: HealthSubject,
    serving: Serving,
    ending: CancellationToken,
    until: Until,
    last: Option<ServingStatus>,
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
            // If the sender is gone, the peer is gone.
            let ended = self.ending.is_cancelled() || self.serving.has_changed().is_err();
            self.serving.mark_unchanged();
            let now = self.subject.status(&self.serving, ended);
            if self.last != Some(now) {
                self.last = Some(now);
                return HealthStep::Status(now);
            }
            if ended {
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

fn message(status: ServingStatus) -> Framed {
    frame_message(&HealthCheckResponse {
        status: status.into(),
    })
}

fn out_of_time() -> Status {
    Status::deadline_exceeded("context deadline exceeded")
}
