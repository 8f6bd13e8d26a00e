//! The client of a grid, as its users hold it.

use std::fmt;
use std::sync::Arc;

use super::broadcast::BroadcastBuilder;
use super::core::ClientCore;
use super::request::{Purpose, RequestBuilder};
use super::statistics::ClientStatistics;
use crate::environment::Deadline;
use crate::error::{RequestError, RequestErrorKind};
use crate::group::Group;
use crate::message::{Ack, ActorStart, ActorStop, Message};
use crate::name::IntoName;
use crate::registry::{Kind, Registration};

/// Sends requests to the mailboxes of a grid, and queries and watches its registrations. Cheap to
/// clone; clones share connections and the cache of locations.
///
/// ```no_run
/// # async fn run() -> Result<(), actorgrid::BoxError> {
/// use actorgrid::{Client, EchoMsg, Registry};
/// use std::time::Duration;
///
/// let client = Client::new("mygrid", Registry::connect("memory:").await?);
/// let answer = client
///     .request("worker-7", EchoMsg::new("hello"))
///     .deadline(Duration::from_secs(2))
///     .await?;
/// println!("{}", answer.msg);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "NewClient")]
#[derive(Clone)]
pub struct Client {
    core: Arc<ClientCore>,
    /// Whether its requests are sent by code that itself answers requests.
    from_handler: bool,
}

impl Client {
    pub(super) const fn of(core: Arc<ClientCore>) -> Self {
        Self {
            core,
            from_handler: false,
        }
    }

    /// The same client for actors: their requests may use what links reserve for handlers, so that
    /// actors that call each other in a cycle do not wait for each other's room.
    pub(crate) fn for_handlers(&self) -> Self {
        Self {
            core: self.core.clone(),
            from_handler: true,
        }
    }

    pub(super) const fn core(&self) -> &Arc<ClientCore> {
        &self.core
    }

    /// Creates a request to the mailbox `to`. Await it to send it, after setting its options if the
    /// defaults do not fit.
    ///
    /// The request is repeated, within its deadline, only while it provably was not executed: the
    /// mailbox was full or closed, its holder had moved, or nothing was sent. Otherwise the error
    /// is returned; its [`may_have_executed`](RequestError::may_have_executed) says whether the
    /// request may have been executed.
    ///
    /// If the peer that holds the mailbox is dead but still registered, which it is until its lease
    /// expires, the request waits within its deadline for the next holder;
    /// [`fail_fast`](RequestBuilder::fail_fast) reports that at once instead.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future signals the receiver that nobody waits; it is then unknown whether the
    /// request was executed.
    #[doc(alias = "RequestC")]
    pub fn request<M: Message>(&self, to: impl IntoName, message: M) -> RequestBuilder<M::Reply> {
        RequestBuilder::new(&self.core, to, message, self.from_handler)
    }

    /// Creates a request with the same message to each member of a group. Await it to send it,
    /// after setting its options if the defaults do not fit. The result has an
    /// [`Outcome`](crate::Outcome) for each member; see [`BroadcastBuilder`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future signals all receivers that nobody waits; it is then unknown which of
    /// them have executed the request.
    pub fn broadcast<M: Message>(&self, group: &Group, message: M) -> BroadcastBuilder<M::Reply> {
        BroadcastBuilder::new(self.core.clone(), group.clone(), &message)
            .sent_by_handler(self.from_handler)
    }

    /// Asks a peer (by its name or its registration) to start an actor. The reply arrives once the
    /// actor's name is registered and its constructor has succeeded; a declared mailbox accepts
    /// requests by then.
    ///
    /// The error [`AlreadyRunning`](RequestErrorKind::AlreadyRunning) carries [the holder of the
    /// name](RequestError::holder) and [its token](RequestError::token);
    /// [`UnknownName`](RequestErrorKind::UnknownName) means that no such peer is registered.
    pub fn start(&self, peer: impl IntoName, start: ActorStart) -> RequestBuilder<Ack> {
        self.request(peer, start).purpose(Purpose::Start)
    }

    /// Asks an actor to stop, and waits until it has ended and its name is free.
    ///
    /// # Errors
    ///
    /// - [`UnknownName`](RequestErrorKind::UnknownName) if no such actor runs;
    /// - [`Registry`](RequestErrorKind::Registry) if the registry does not answer;
    /// - [`DeadlineExceeded`](RequestErrorKind::DeadlineExceeded) if the actor has not ended within
    ///   the client's default deadline; it continues to end;
    /// - [`StopFailed`](RequestErrorKind::StopFailed) if the actor's name is not free although its
    ///   time to end has passed and it was aborted.
    ///
    /// # Cancel safety
    ///
    /// Once the actor was asked, it stops even if the future is dropped.
    pub async fn stop(&self, actor: impl IntoName) -> Result<(), RequestError> {
        let name = actor
            .into_name()
            .map_err(|error| RequestError::invalid_name(&error))?;
        let deadline = Deadline::after(self.core.deadline);
        let holder = self.core.find(Kind::Actor, &name).await?;
        let Some(Registration { peer, token, .. }) = holder else {
            return Err(RequestError::unknown_actor(&name));
        };
        let stop = ActorStop::new(name.clone())
            .map_err(|error| RequestError::invalid_name(&error))?
            .token(token);
        let request = self.request(peer, stop).purpose(Purpose::Stop);
        let request = request.deadline(deadline.remaining());
        match request.await {
            Ok(Ack {}) => Ok(()),
            // The actor or its peer ended meanwhile: report the actor as unknown, not the mailbox
            // of its peer.
            Err(error) if error.kind() == RequestErrorKind::UnknownName => {
                Err(RequestError::unknown_actor(&name).at_least(error.executed()))
            }
            Err(error) => Err(error),
        }
    }

    /// Closes the client and all its clones: connections are closed, and every request from now on
    /// fails with [`ClientClosed`](RequestErrorKind::ClientClosed).
    pub async fn close(&self) {
        self.core.pool.close().await;
        self.core.lookups.close().await;
    }

    /// Closes the client without waiting: its tasks end shortly afterwards.
    pub(crate) fn close_now(&self) {
        self.core.pool.close_now();
        self.core.lookups.close_now();
    }

    /// Returns the counts of the client and its clones so far. Reading them takes no lock and costs
    /// nothing to requests under way.
    ///
    /// ```
    /// # use actorgrid::{Client, Environment, MemoryRegistry, RequestErrorKind, EchoMsg};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let registry = MemoryRegistry::new(&Environment::real()).registry();
    /// let client = Client::new("mygrid", registry);
    /// let error = client.request("nobody", EchoMsg::new("hello")).await.unwrap_err();
    /// assert_eq!(error.kind(), RequestErrorKind::UnknownName);
    /// let counted = client.statistics();
    /// assert_eq!((counted.requests, counted.unknown_names), (1, 1));
    /// # }
    /// ```
    #[must_use]
    pub fn statistics(&self) -> ClientStatistics {
        let connections = self.core.pool.connections();
        ClientStatistics {
            // Read before `opened`, so that the ended connections never exceed the opened ones.
            connections_ended: connections.ended.get(),
            connections_opened: connections.opened.get(),
            connections_failed: connections.failed.get(),
            requests: self.core.ids.count(),
            ..self.core.counters.read()
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("namespace", &self.core.namespace)
            .finish_non_exhaustive()
    }
}
