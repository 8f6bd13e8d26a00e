//! Makes calls over a connection to etcd, each on an HTTP/2 stream.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use tonic::body::Body;
use tower_service::Service;

use super::activity::{Activity, OpenStream};
use crate::error::BoxError;

/// Removed from replies: tonic panics if its value is not base64, and nothing here reads it.
const DETAILS: &str = "grpc-status-details-bin";

/// Sends the requests of the generated stubs over a connection.
#[derive(Clone)]
pub(super) struct EtcdTransport {
    sender: SendRequest<Bytes>,
    activity: Arc<Activity>,
}

impl EtcdTransport {
    pub(super) fn new(sender: SendRequest<Bytes>, activity: Arc<Activity>) -> Self {
        Self { sender, activity }
    }
}

impl Service<Request<Body>> for EtcdTransport {
    type Response = Response<EtcdAnswer>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    // The stubs would lose an error from here: `call` waits for readiness instead.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { sender, activity } = self.clone();
        Box::pin(send(sender, activity, request))
    }
}

async fn send(
    sender: SendRequest<Bytes>,
    activity: Arc<Activity>,
    request: Request<Body>,
) -> Result<Response<EtcdAnswer>, BoxError> {
    let mut sender = sender.ready().await.map_err(NotSent)?;
    let (head, body) = request.into_parts();
    let open = activity.open_stream();
    let sent = sender.send_request(Request::from_parts(head, ()), false);
    let (response, stream) = sent.map_err(NotSent)?;
    activity.asked();
    let mut upload = Upload {
        body,
        stream,
        activity: Arc::clone(&activity),
    };
    let mut uploaded = false;
    let mut response = pin!(response);
    let answer = poll_fn(|cx| {
        uploaded = uploaded || upload.poll(cx).is_ready();
        response.as_mut().poll(cx)
    });
    let answer = answer.await.map_err(|error| broken(&activity, error))?;
    open.answered();
    let (mut head, download) = answer.into_parts();
    head.headers.remove(DETAILS);
    let body = EtcdAnswer {
        download,
        upload: (!uploaded).then_some(upload),
        activity,
        _open: open,
    };
    Ok(Response::from_parts(head, body))
}

/// The upload of a request. The whole message is in memory already, so HTTP/2 may buffer the part
/// that the other side has no room for yet.
struct Upload {
    body: Body,
    stream: SendStream<Bytes>,
    activity: Arc<Activity>,
}

impl Upload {
    /// Ready when everything is sent, or cannot be.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let sent = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.activity.asked();
                        self.stream.send_data(data, false)
                    }
                    // Requests have no trailers.
                    Err(_) => Ok(()),
                },
                Some(Err(_)) => {
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(());
                }
                None => {
                    // Fails if the stream has ended already: then the reply says why.
                    let _ = self.stream.send_data(Bytes::new(), true);
                    return Poll::Ready(());
                }
            };
            if sent.is_err() {
                return Poll::Ready(());
            }
        }
    }
}

/// The body of a reply. While it is read, the rest of the request is sent; if it is dropped, the
/// stream is cancelled.
pub(super) struct EtcdAnswer {
    download: RecvStream,
    upload: Option<Upload>,
    activity: Arc<Activity>,
    _open: OpenStream,
}

impl http_body::Body for EtcdAnswer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(upload) = &mut this.upload
            && upload.poll(cx).is_ready()
        {
            this.upload = None;
        }
        let frame = match ready!(this.download.poll_data(cx)) {
            Some(Ok(data)) => {
                let flow = this.download.flow_control();
                flow.release_capacity(data.len())
                    .map(|()| Some(Frame::data(data)))
            }
            Some(Err(error)) => Err(error),
            None => ready!(this.download.poll_trailers(cx)).map(|trailers| {
                let trailers: Option<HeaderMap> = trailers;
                trailers.map(|mut trailers| {
                    trailers.remove(DETAILS);
                    Frame::trailers(trailers)
                })
            }),
        };
        let frame = frame.map_err(|error| broken(&this.activity, error));
        Poll::Ready(frame.transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.download.is_end_stream()
    }
}

fn broken(activity: &Activity, error: h2::Error) -> BoxError {
    if activity.is_given_up() {
        Box::new(FoundSilent(error))
    } else {
        Box::new(Broken(error))
    }
}

macro_rules! caused {
    ($($error:ident: $text:literal)*) => {
        $(
            impl fmt::Display for $error {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, $text, self.0)
                }
            }

            impl Error for $error {
                fn source(&self) -> Option<&(dyn Error + 'static)> {
                    Some(&self.0)
                }
            }
        )*
    };
}

/// No part of the request left this process.
#[derive(Debug)]
pub(super) struct NotSent(h2::Error);

/// The connection or the stream broke.
#[derive(Debug)]
struct Broken(h2::Error);

/// The connection was abandoned because nothing arrived over it.
#[derive(Debug)]
struct FoundSilent(h2::Error);

caused! {
    NotSent: "not sent: {}"
    Broken: "{}"
    FoundSilent: "etcd has been silent for 2 s: {}"
}
