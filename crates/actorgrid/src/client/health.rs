//! Whether peers serve.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::stream;

use super::Client;
use crate::address::Address;
use crate::environment::{Deadline, Timestamp};
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::name::{IntoName, Name};
use crate::registry::{Capabilities, Kind};
use crate::route::calling::HealthStream;
use crate::stable_names::stable_names;
use crate::wire::health::health_check_response::ServingStatus;

/// The pauses before a peer that cannot be watched is tried again, of which a random half is left
/// out: the watchers of a peer that comes back must not come all at once.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// The time for a peer to tell its first state, the connection included. It takes a peer two round
/// trips; one that is connected and takes longer is of no use to anybody.
const FIRST_STATE_LIMIT: Duration = Duration::from_secs(5);

/// What is known of a peer's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Health {
    /// It serves.
    Serving,
    /// It says that it does not: it starts, is fenced, joins again, or shuts down.
    NotServing,
    /// Nobody tells. What answers at the peer's address has no health service, or does not say
    /// there whether it serves; or, in a watch, the registry does not answer and the peer's
    /// address is not known yet.
    Unknown,
    /// It is registered and cannot be reached. Only in watches; a check fails instead.
    Unreachable,
    /// No peer of this name is registered. Only in watches; a check fails instead.
    Unregistered,
}

stable_names! {
    Health {
        Serving = "serving",
        NotServing = "not-serving",
        Unknown = "unknown",
        Unreachable = "unreachable",
        Unregistered = "unregistered",
    }
}

impl From<ServingStatus> for Health {
    fn from(status: ServingStatus) -> Self {
        match status {
            ServingStatus::Serving => Self::Serving,
            ServingStatus::NotServing => Self::NotServing,
            ServingStatus::Unknown | ServingStatus::ServiceUnknown => Self::Unknown,
        }
    }
}

/// The health of one peer as it changes, for as long as it is kept.
///
/// It gives what is so now, and then each change; never the same twice in a row. It survives
/// everything: a peer that is not registered yet, that cannot be reached, that is gone and comes
/// back under the same name, and a registry that is away. While it cannot watch, it tries again
/// after 100 ms, doubled up to 5 s, of which a random half is left out; a peer that registers is
/// tried at once.
///
/// A peer that is frozen, or cut off from the network, is noticed within 9 s: its connection is
/// probed every 5 s and ends when it does not answer for 2 s; then it is tried again for 2 s. One
/// that still answers probes, but no calls, is not. Peers of the Go library do not let themselves be
/// probed so often: of them it is noticed when their connection breaks.
///
/// A reader that is too slow loses the history of changes, not their result. It holds no task:
/// dropped, it ends. Each takes one of the 4,096 streams that a peer allows on a connection, which
/// requests need too.
pub struct HealthWatch {
    states: Pin<Box<dyn Stream<Item = Health> + Send>>,
}

impl HealthWatch {
    /// The next state. None: the client is closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Health> {
        self.states.next().await
    }
}

impl Stream for HealthWatch {
    type Item = Health;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Health>> {
        self.states.poll_next_unpin(cx)
    }
}

impl fmt::Debug for HealthWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthWatch").finish_non_exhaustive()
    }
}

impl Client {
    /// Asks a peer (by its name or its registration) whether it serves: by the standard gRPC health
    /// service, so peers of the Go library answer too.
    ///
    /// The peer's address is read from the registry each time, so that it is never an old one; who
    /// asks often [watches](Self::watch_health). The answer is [`Serving`](Health::Serving),
    /// [`NotServing`](Health::NotServing), or [`Unknown`](Health::Unknown) where the peer has no
    /// health service.
    ///
    /// # Errors
    ///
    /// [`UnknownName`](RequestErrorKind::UnknownName) when no such peer is registered;
    /// [`Registry`](RequestErrorKind::Registry) when the registry does not answer;
    /// [`Unreachable`](RequestErrorKind::Unreachable) and
    /// [`ConnectionLost`](RequestErrorKind::ConnectionLost) when the peer does not;
    /// [`DeadlineExceeded`](RequestErrorKind::DeadlineExceeded) after the client's default
    /// deadline; [`Unknown`](RequestErrorKind::Unknown) and
    /// [`UnexpectedReply`](RequestErrorKind::UnexpectedReply) when something else than a health
    /// service answers. A check changes nothing, so none of them
    /// [may have executed](RequestError::may_have_executed) anything.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn check_health(&self, peer: impl IntoName) -> Result<Health, RequestError> {
        let peer = name_of(peer)?;
        let deadline = Deadline::after(self.inner.deadline);
        let checked = async {
            self.inner.pool.check_open()?;
            let Some(found) = self.find(Kind::Peer, &peer).await? else {
                let text = format!("no peer is registered as {:?}", peer.as_str());
                return Err(RequestError::refused(RequestErrorKind::UnknownName, text));
            };
            let route = self.inner.pool.route(&found.address, found.capabilities);
            route.check_health(deadline).await
        };
        match deadline.bound(checked).await {
            Some(Ok(status)) => Ok(status.into()),
            Some(Err(error)) => Err(RequestError::refused(error.kind(), error.text())),
            None => Err(RequestError::deadline(Executed::No)),
        }
    }

    /// Watches whether a peer (by its name or its registration) serves; it need not exist yet.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](RequestErrorKind::InvalidName), for the peer's name and for the client's
    /// namespace. Nothing else: see [`HealthWatch`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), actorgrid::BoxError> {
    /// use actorgrid::{Health, Registry, Server};
    ///
    /// let server = Server::builder("mygrid", Registry::connect("memory:").await?)
    ///     .bind("127.0.0.1:0")
    ///     .await?;
    /// let mut health = server.client().watch_health(server.peer())?;
    /// assert_eq!(health.next().await, Some(Health::Serving));
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch_health(&self, peer: impl IntoName) -> Result<HealthWatch, RequestError> {
        self.namespace()?;
        let watcher = Watcher {
            client: self.clone(),
            peer: name_of(peer)?,
            told: None,
            watching: None,
            found: None,
            unregistered: false,
            pause: Duration::ZERO,
        };
        let states = stream::unfold(watcher, |mut watcher| async move {
            let health = watcher.next().await?;
            Some((health, watcher))
        });
        Ok(HealthWatch {
            states: states.fuse().boxed(),
        })
    }

    /// Waits until a peer (by its name or its registration) serves, at most for `deadline` (and for
    /// [`MAX_DEADLINE`](crate::MAX_DEADLINE)). It need not exist yet.
    ///
    /// # Errors
    ///
    /// [`DeadlineExceeded`](RequestErrorKind::DeadlineExceeded), and its text says what the peer
    /// was last; [`InvalidName`](RequestErrorKind::InvalidName);
    /// [`ClientClosed`](RequestErrorKind::ClientClosed).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_until_serving(
        &self,
        peer: impl IntoName,
        deadline: Duration,
    ) -> Result<(), RequestError> {
        let peer = name_of(peer)?;
        let mut states = self.watch_health(&peer)?;
        let mut last = None;
        let serves = async {
            loop {
                match states.next().await {
                    Some(Health::Serving) => return Ok(()),
                    Some(other) => last = Some(other),
                    None => return self.inner.pool.check_open(),
                }
            }
        };
        if let Some(served) = Deadline::after(deadline).bound(serves).await {
            return served;
        }
        let last = match last {
            Some(health) => format!("its health is {health}"),
            None => "nothing was learnt of it".to_owned(),
        };
        Err(RequestError::refused(
            RequestErrorKind::DeadlineExceeded,
            format!("the peer {peer} does not serve within {deadline:?}: {last}"),
        ))
    }
}

fn name_of(peer: impl IntoName) -> Result<Name, RequestError> {
    peer.into_name()
        .map_err(|error| RequestError::invalid_name(&error))
}

/// Finds out, when it is asked for the next state.
struct Watcher {
    client: Client,
    peer: Name,
    told: Option<Health>,
    /// The stream on which the peer tells its states, and since when.
    watching: Option<(HealthStream, Timestamp)>,
    /// Where the peer was last: what is tried while the registry is away.
    found: Option<(Address, Capabilities)>,
    unregistered: bool,
    pause: Duration,
}

impl Watcher {
    async fn next(&mut self) -> Option<Health> {
        let client = self.client.clone();
        let changed = async {
            loop {
                let now = self.step().await;
                if self.told != Some(now) {
                    self.told = Some(now);
                    return now;
                }
            }
        };
        tokio::select! {
            biased;
            () = client.inner.pool.closed() => None,
            health = changed => Some(health),
        }
    }

    /// Waits for whatever happens next, and says what is so then.
    async fn step(&mut self) -> Health {
        if let Some((stream, since)) = &mut self.watching {
            match stream.next().await {
                Ok(Some(status)) => return status.into(),
                Ok(None) => tracing::debug!(peer = %self.peer, "a watch of health has ended"),
                Err(error) => tracing::debug!(%error, peer = %self.peer, "a watch of health broke"),
            }
            // One that held is opened anew at once: only its connection may be gone.
            if self.client.inner.environment.now().since(*since) >= MAX_PAUSE {
                self.pause = Duration::ZERO;
            }
            self.watching = None;
        }
        self.hold_back().await;
        let health = self.open().await;
        self.unregistered = health == Health::Unregistered;
        health
    }

    /// Waits before the next try; for one who is not registered also until it is.
    async fn hold_back(&mut self) {
        let environment = &self.client.inner.environment;
        let jitter = 0.5 + environment.random_unit() / 2.0;
        let pause = environment.sleep(self.pause.mul_f64(jitter));
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE);
        let registered = async {
            if self.unregistered {
                // It fails only for an invalid namespace, and that was checked.
                let _ = self.client.wait_for(Kind::Peer, &self.peer).await;
            }
        };
        tokio::join!(pause, registered);
    }

    async fn open(&mut self) -> Health {
        let inner = &self.client.inner;
        match self.client.find(Kind::Peer, &self.peer).await {
            Ok(Some(found)) => self.found = Some((found.address, found.capabilities)),
            Ok(None) => {
                self.found = None;
                return Health::Unregistered;
            }
            Err(error) => tracing::debug!(%error, peer = %self.peer, "no answer where a peer is"),
        }
        let Some((address, capabilities)) = &self.found else {
            return Health::Unknown;
        };
        let route = inner.pool.route(address, *capabilities);
        let opened = async {
            let mut stream = route.watch_health().await?;
            let first = stream.next().await?;
            Ok((stream, first))
        };
        let opened = inner.environment.timeout(FIRST_STATE_LIMIT, opened).await;
        match opened.unwrap_or_else(|| Err(RequestError::deadline(Executed::No))) {
            Ok((stream, first)) => {
                self.watching = Some((stream, inner.environment.now()));
                first.map_or(Health::Unknown, Health::from)
            }
            Err(error) => {
                tracing::debug!(%error, peer = %self.peer, "the health of a peer cannot be watched");
                match error.kind() {
                    RequestErrorKind::Unknown | RequestErrorKind::UnexpectedReply => {
                        Health::Unknown
                    }
                    _ => Health::Unreachable,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{Environment, Simulation, Socket};
    use crate::registry::MemoryRegistry;

    const ALIVE: Duration = Duration::from_secs(60);

    /// Takes connections, answers on the first of them that it serves, and freezes a minute later:
    /// its kernel goes on to take connections.
    async fn freezing(environment: &Environment) -> Address {
        let listening = "127.0.0.1:0".parse().unwrap();
        let mut listener = environment.listen(listening).await.unwrap();
        let address = listener.local_addr().unwrap().try_into().unwrap();
        let clock = environment.clone();
        environment.spawn(async move {
            let socket: Socket = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(socket).await.unwrap();
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            let response = http::Response::builder().header("content-type", "application/grpc");
            let mut stream = respond
                .send_response(response.body(()).unwrap(), false)
                .unwrap();
            let serving: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
            stream.send_data(serving.into(), false).unwrap();
            // It answers probes only while it is polled.
            assert!(clock.timeout(ALIVE, connection.accept()).await.is_none());
            let mut taken = Vec::new();
            loop {
                taken.push(listener.accept().await.unwrap());
            }
        });
        address
    }

    #[tokio::test(start_paused = true)]
    async fn a_frozen_peer_is_noticed_within_nine_seconds() {
        let environment = Simulation::new(1).environment();
        let registry = MemoryRegistry::new(&environment);
        let address = freezing(&environment).await;
        let peer = address.peer_name().clone();
        let key = format!("test.peer.{peer}");
        let value = crate::registry::write(&key, &address, &[], Some(1));
        registry.overwrite(&key, value);
        let client = Client::builder("test", registry.registry())
            .environment(environment.clone())
            .build();
        let mut watch = client.watch_health(&peer).unwrap();
        assert_eq!(watch.next().await, Some(Health::Serving));
        let frozen = environment.now() + ALIVE;
        assert_eq!(watch.next().await, Some(Health::Unreachable));
        let noticed = environment.now();
        assert!(noticed > frozen && noticed <= frozen + Duration::from_secs(9));
    }
}
