//! Requests and answers on one bidirectional gRPC stream.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bench_kit::{
    About, BoxError, Caller, Contender, EchoOptions, LoadOptions, Served, locked_version,
};
use futures_core::Stream;
use tonic::client::Grpc;
use tonic::{Request, Status, Streaming};

use super::LOCK;
use super::echo_content::EchoContent;
use super::grpc_echo::{MAX_MESSAGE, SETTINGS, codec, connect, serve, stream_path};
use super::ordered_calls::OrderedCalls;

/// A stream of tonic that carries all requests.
#[derive(Debug)]
pub struct TonicStream;

impl Contender for TonicStream {
    type Caller = StreamCaller;

    fn about() -> About {
        About {
            name: "tonic stream".to_owned(),
            version: locked_version(LOCK, "tonic"),
            messages: "prost, with bytes".to_owned(),
            names: "none".to_owned(),
            deadline: "none".to_owned(),
            encryption: "none".to_owned(),
            settings: format!(
                "{SETTINGS}; a task per request in flight, no actor, and what is queued is sent \
                 together"
            ),
        }
    }

    async fn serve(options: &EchoOptions) -> Result<Served, BoxError> {
        serve(options).await
    }

    async fn connect(options: &LoadOptions) -> Result<StreamCaller, BoxError> {
        let calls = OrderedCalls::new();
        let stream = EchoCalls::open(&options.address).await?;
        tokio::spawn(drive_calls(stream, calls.clone()));
        Ok(StreamCaller(calls))
    }
}

/// Sends on a stream.
#[derive(Clone)]
pub struct StreamCaller(OrderedCalls<Vec<EchoContent>>);

impl Caller for StreamCaller {
    type Message = StreamMessage;

    fn message(&self, bytes: usize) -> StreamMessage {
        StreamMessage(EchoContent::of(bytes))
    }

    async fn call(&self, message: &StreamMessage) -> Result<usize, BoxError> {
        let enqueue = |queue: &mut Vec<EchoContent>| queue.push(message.0.clone());
        self.0.call(enqueue).await
    }
}

/// The message of a call.
#[derive(Debug, Clone)]
pub struct StreamMessage(EchoContent);

/// Both directions of a stream.
struct EchoCalls {
    requests: Arc<Outbox>,
    answers: Streaming<EchoContent>,
}

impl EchoCalls {
    async fn open(address: &str) -> Result<Self, BoxError> {
        let requests = Arc::new(Outbox::default());
        let stream = OutboxStream {
            outbox: Arc::clone(&requests),
            has_yielded: false,
        };
        let channel = connect(address).await?;
        let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE);
        grpc.ready().await?;
        let answers = grpc
            .streaming(Request::new(stream), stream_path(), codec())
            .await?;
        Ok(Self {
            requests,
            answers: answers.into_inner(),
        })
    }

    async fn answer(&mut self) -> Result<EchoContent, Status> {
        let answer = self.answers.message().await?;
        answer.ok_or_else(|| Status::unavailable("the stream ended"))
    }
}

/// Sends what is queued and gives the answers back until the stream ends.
async fn drive_calls(mut stream: EchoCalls, calls: OrderedCalls<Vec<EchoContent>>) {
    let (mut queued, mut wakers) = (Vec::new(), Vec::new());
    loop {
        tokio::select! {
            biased;
            answer = stream.answer() => match answer {
                Ok(answer) => calls.answer(&[answer.content.len()], &mut wakers),
                Err(_) => break,
            },
            () = poll_fn(|context| poll_ready(&calls, context)) => {
                calls.exchange_queued(&mut queued);
                for message in queued.drain(..) {
                    stream.requests.push(message);
                }
            }
        }
    }
    calls.lose();
}

fn poll_ready(calls: &OrderedCalls<Vec<EchoContent>>, context: &Context<'_>) -> Poll<()> {
    match calls.poll_ready(context) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    }
}

/// The messages that are to be sent.
#[derive(Default)]
struct Outbox(Mutex<OutboxState>);

#[derive(Default)]
struct OutboxState {
    queue: VecDeque<EchoContent>,
    waker: Option<Waker>,
}

impl Outbox {
    fn push(&self, message: EchoContent) {
        let waker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.queue.push_back(message);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The stream of those messages.
///
/// When the first one comes, its task yields once, so that those that come with it leave with it.
struct OutboxStream {
    outbox: Arc<Outbox>,
    has_yielded: bool,
}

impl Stream for OutboxStream {
    type Item = EchoContent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<EchoContent>> {
        let outbox = Arc::clone(&self.outbox);
        let mut state = outbox.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.queue.is_empty() {
            state.waker = Some(context.waker().clone());
            self.has_yielded = false;
            return Poll::Pending;
        }
        if !self.has_yielded {
            self.has_yielded = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(state.queue.pop_front())
    }
}
