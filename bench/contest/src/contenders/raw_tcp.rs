//! Frames on TCP and nothing else: what bounds every contender.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use bench_kit::{
    About, BoxError, Caller, Contender, EchoOptions, LoadOptions, Pipeline, Served, Tally, Window,
    echoed, locked_version,
};
use bytes::BytesMut;
use tokio::net::{TcpListener, TcpStream};

use super::LOCK;
use super::framed_socket::{FramedSocket, write_frame};
use super::ordered_calls::OrderedCalls;
use super::pipelined::{Pipelined, PipelinedOnce};

/// Frames with a length and a number on one TCP connection, and an echo that writes back the bytes
/// that it read. Each request in flight has a task that waits for its answer, as with every other
/// contender.
#[derive(Debug)]
pub struct RawTcp;

/// The same, with one task for all requests in flight: no library can offer that.
#[derive(Debug)]
pub struct RawPipeline;

impl Contender for RawTcp {
    type Caller = RawCaller;

    fn about() -> About {
        About {
            name: "raw TCP".to_owned(),
            version: locked_version(LOCK, "tokio"),
            messages: "bytes in frames of length, number and content".to_owned(),
            names: "none".to_owned(),
            deadline: "none".to_owned(),
            encryption: "none".to_owned(),
            settings: "the bound: a task per request in flight, no actor".to_owned(),
        }
    }

    async fn serve(_options: &EchoOptions) -> Result<Served, BoxError> {
        serve().await
    }

    async fn connect(options: &LoadOptions) -> Result<RawCaller, BoxError> {
        let calls = OrderedCalls::new();
        let socket = FramedSocket::new(TcpStream::connect(&options.address).await?)?;
        tokio::spawn(drive_calls(socket, calls.clone()));
        Ok(RawCaller(calls))
    }
}

impl Contender for RawPipeline {
    type Caller = PipelineCaller;

    fn about() -> About {
        About {
            name: "raw TCP, one task".to_owned(),
            settings: "one task drives all requests in flight, no actor".to_owned(),
            ..RawTcp::about()
        }
    }

    async fn serve(_options: &EchoOptions) -> Result<Served, BoxError> {
        serve().await
    }

    async fn connect(options: &LoadOptions) -> Result<PipelineCaller, BoxError> {
        let calls = RawTcp::connect(options).await?;
        let socket = FramedSocket::new(TcpStream::connect(&options.address).await?)?;
        let pipelined = PipelinedOnce::new(PipelineSocket(socket));
        Ok(PipelineCaller { calls, pipelined })
    }

    async fn closed_loop(
        caller: &PipelineCaller,
        window: Window,
        in_flight: usize,
        bytes: usize,
    ) -> Tally {
        caller.pipelined.closed_loop(window, in_flight, bytes).await
    }
}

async fn serve() -> Result<Served, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(echo_frames(socket));
        }
    });
    Ok(Served::at(address))
}

/// Sends bytes.
#[derive(Clone)]
pub struct RawCaller(OrderedCalls<FrameQueue>);

/// The frames that are to be sent.
#[derive(Default)]
struct FrameQueue {
    bytes: BytesMut,
}

impl Caller for RawCaller {
    type Message = Arc<[u8]>;

    fn message(&self, bytes: usize) -> Arc<[u8]> {
        vec![b'x'; bytes].into()
    }

    async fn call(&self, message: &Arc<[u8]>) -> Result<usize, BoxError> {
        // Answers come in order, so the numbers need not differ.
        let enqueue = |queue: &mut FrameQueue| write_frame(&mut queue.bytes, 0, message);
        self.0.call(enqueue).await
    }
}

/// Sends bytes, those of a closed loop from one task.
#[derive(Clone)]
pub struct PipelineCaller {
    calls: RawCaller,
    pipelined: PipelinedOnce<PipelineSocket>,
}

impl Caller for PipelineCaller {
    type Message = Arc<[u8]>;

    fn message(&self, bytes: usize) -> Arc<[u8]> {
        self.calls.message(bytes)
    }

    async fn call(&self, message: &Arc<[u8]>) -> Result<usize, BoxError> {
        self.calls.call(message).await
    }
}

/// Writes back what comes until the connection ends, on whatever side it does.
async fn echo_frames(socket: TcpStream) -> io::Result<()> {
    let mut socket = FramedSocket::new(socket)?;
    loop {
        socket.turn().await?;
        while socket.echo(|length| echoed(length) == length)? {}
    }
}

/// The connection of the closed loop.
struct PipelineSocket(FramedSocket);

impl Pipelined for PipelineSocket {
    async fn drive(
        &mut self,
        pipeline: &mut Pipeline,
        in_flight: usize,
        bytes: usize,
    ) -> Result<(), BoxError> {
        let content = vec![b'x'; bytes];
        let mut numbers = 0..;
        let start = Instant::now();
        for number in numbers.by_ref().take(in_flight) {
            pipeline.sends(start);
            write_frame(self.0.output(), number, &content);
        }
        while !pipeline.is_empty() {
            self.0.turn().await?;
            // Once for all that came together: a reading of the clock is not free.
            let now = Instant::now();
            while let Some(frame) = self.0.take()? {
                if pipeline.answered(now, frame.length) {
                    let number = numbers.next().unwrap_or_default();
                    write_frame(self.0.output(), number, &content);
                }
            }
        }
        Ok(())
    }
}

/// Sends what is queued and gives the answers back until the connection ends.
async fn drive_calls(mut socket: FramedSocket, calls: OrderedCalls<FrameQueue>) {
    let (mut lengths, mut wakers) = (Vec::new(), Vec::new());
    let mut queue = FrameQueue::default();
    let mut has_yielded = false;
    loop {
        let turn = poll_fn(|context| {
            if has_yielded && socket.output().is_empty() {
                has_yielded = false;
                calls.exchange_queued(&mut queue);
                std::mem::swap(socket.output(), &mut queue.bytes);
            }
            // Once something is queued, the callers that are ready join its batch.
            if !has_yielded && calls.poll_ready(context) {
                has_yielded = true;
                context.waker().wake_by_ref();
            }
            socket.poll_turn(context)
        });
        if turn.await.is_err() {
            break;
        }
        while let Ok(Some(frame)) = socket.take() {
            lengths.push(frame.length);
        }
        calls.answer(&lengths, &mut wakers);
        lengths.clear();
    }
    calls.lose();
}
