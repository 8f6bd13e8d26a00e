//! The socket of a connection that was accepted: it waits for a greeting, and closes without losing
//! the last word.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::environment::Environment;
use crate::route::transport::Transport;

/// The bytes with which every HTTP/2 connection begins.
const PREFACE_BYTES: usize = 24;
/// How long the client has to close a connection that we have said the last word on. One round
/// trip is enough; it is less than what a shutdown waits for answers.
const LINGER_TIME: Duration = Duration::from_millis(500);
/// The bytes that are read at a time, and discarded, while the socket lingers.
const DISCARD_BYTES: usize = 4096;

/// Whether a connection that was accepted has begun to speak: the preface of HTTP/2 is there.
/// From then on the keep-alive watches over it.
#[derive(Debug, Clone)]
pub(super) struct Greeting(Arc<AtomicBool>);

impl Greeting {
    pub(super) fn complete(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A socket that was accepted.
///
/// Its shutdown lasts until the client has closed too, or has had its time. A client that still
/// sends would otherwise be answered with a reset, which may overtake our GOAWAY: then it could not
/// know that its last requests were not looked at.
pub(super) struct AcceptedSocket {
    socket: Transport,
    environment: Environment,
    missing: usize,
    greeting: Greeting,
    /// Runs once our side is closed.
    linger: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl AcceptedSocket {
    pub(super) fn new(socket: Transport, environment: Environment) -> (Self, Greeting) {
        let greeting = Greeting(Arc::default());
        let accepted = Self {
            socket,
            environment,
            missing: PREFACE_BYTES,
            greeting: greeting.clone(),
            linger: None,
        };
        (accepted, greeting)
    }

    /// Reads what still comes, and forgets it, until the client has closed.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; DISCARD_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

impl AsyncRead for AcceptedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if self.missing > 0 {
            let read = buffer.filled().len().saturating_sub(before);
            self.missing = self.missing.saturating_sub(read);
            if self.missing == 0 {
                self.greeting.0.store(true, Ordering::Release);
            }
        }
        polled
    }
}

impl AsyncWrite for AcceptedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        let environment = &this.environment;
        let linger = this.linger.get_or_insert_with(|| {
            let environment = environment.clone();
            Box::pin(async move { environment.sleep(LINGER_TIME).await })
        });
        if linger.as_mut().poll(cx).is_pending() {
            ready!(this.poll_discard(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::environment::{Simulation, Socket};

    async fn pair() -> (Environment, AcceptedSocket, Socket) {
        let environment = Simulation::new(1).environment();
        let listening = "127.0.0.1:0".parse().unwrap();
        let mut listener = environment.listen(listening).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let address = address.parse().unwrap();
        let (client, server) = tokio::join!(environment.connect(&address), listener.accept());
        let (server, _) =
            AcceptedSocket::new(Transport::accepted(server.unwrap()), environment.clone());
        (environment, server, client.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_client_still_sends_does_not_destroy_the_last_word() {
        let (environment, mut server, mut client) = pair().await;
        let begun = environment.now();
        let server = async {
            server.write_all(b"last word").await.unwrap();
            server.shutdown().await.unwrap();
            drop(server);
        };
        let client = async {
            for _ in 0..100 {
                client.write_all(&[0; DISCARD_BYTES]).await.unwrap();
            }
            let mut read = String::new();
            client.read_to_string(&mut read).await.unwrap();
            drop(client);
            read
        };
        let ((), read) = tokio::join!(server, client);
        assert_eq!(read, "last word");
        assert_eq!(environment.now(), begun);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_close_is_not_waited_for_long() {
        let (environment, mut server, client) = pair().await;
        let begun = environment.now();
        server.shutdown().await.unwrap();
        drop(client);
        let took = environment.now().since(begun);
        assert!(took >= LINGER_TIME && took < 2 * LINGER_TIME, "{took:?}");
    }
}
