//! An actor type: how a peer creates actors of one type.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_core::future::BoxFuture;

use super::actor::{Actor, ActorFn, ActorResult, BoxActor};
use super::context::ActorContext;
use super::declared_mailbox::{DeclaredCapacity, DeclaredMailbox};
use crate::error::BoxError;
use crate::message::ActorStart;
use crate::request::MessageSet;

type Constructor =
    Arc<dyn Fn(ActorStart) -> BoxFuture<'static, Result<BoxActor, BoxError>> + Send + Sync>;

/// How a peer creates actors of one type.
///
/// ```
/// use actorgrid::{ActorType, EchoMsg, Request};
///
/// // One registration covers the actor and its mailbox, so once a start is acknowledged, requests
/// // are accepted.
/// let echo = ActorType::from_fn("echo", async |_start, ctx| {
///     let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(10).await?;
///     while let Some(request) = mailbox.recv().await {
///         let text = request.message().clone();
///         request.respond(text)?;
///     }
///     Ok(())
/// })
/// .mailbox::<Request<EchoMsg>>(10);
/// ```
#[doc(alias = "MakeActor")]
#[derive(Clone)]
pub struct ActorType {
    pub(in crate::server) name: String,
    constructor: Constructor,
    pub(in crate::server) declared: Option<DeclaredMailbox>,
}

impl ActorType {
    /// Creates a type whose actors are created by an async constructor. The constructor runs after
    /// the actor's name is registered, and may fail. If it does not finish within the peer's
    /// [constructor timeout](crate::ServerBuilder::constructor_timeout), it is dropped and the
    /// start fails.
    pub fn new<A, F, Fut>(name: impl Into<String>, constructor: F) -> Self
    where
        A: Actor,
        F: Fn(ActorStart) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, BoxError>> + Send + 'static,
    {
        let constructor = Arc::new(constructor);
        Self {
            name: name.into(),
            constructor: Arc::new(move |start| {
                let constructor = constructor.clone();
                Box::pin(async move { constructor(start).await.map(Actor::boxed) })
            }),
            declared: None,
        }
    }

    /// Creates a type whose actors are a function of their start message and their context.
    pub fn from_fn<F, Fut>(name: impl Into<String>, function: F) -> Self
    where
        F: Fn(ActorStart, ActorContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ActorResult> + Send + 'static,
    {
        let function = Arc::new(function);
        Self {
            name: name.into(),
            constructor: Arc::new(move |start| {
                let function = function.clone();
                Box::pin(async move { Ok(ActorFn { function, start }.boxed()) })
            }),
            declared: None,
        }
    }

    /// Declares the mailbox of the type's actors: it is named after the actor, and registered
    /// together with it in one transaction. The actor takes it with [`ActorContext::mailbox`], with
    /// the same message set.
    #[must_use]
    pub fn mailbox<S: MessageSet>(mut self, capacity: usize) -> Self {
        self.declared = Some(DeclaredMailbox::new::<S>(DeclaredCapacity::Fixed(capacity)));
        self
    }

    /// Declares the mailbox of the type's actors, as [`mailbox`](Self::mailbox) does, with a
    /// capacity that depends on the start message.
    ///
    /// `capacity` is called once per start, before anything is registered, and not for a name that
    /// an actor of the peer holds. If it returns a capacity that no mailbox can have (0, or more
    /// than [`MAX_MAILBOX_CAPACITY`](crate::MAX_MAILBOX_CAPACITY)), or panics, the start fails with
    /// [`StartFailed`](crate::RequestErrorKind::StartFailed), and nothing was executed.
    ///
    /// `capacity` should return at once, because it cannot be aborted. While it runs, no other
    /// actor can start under the name on this peer, and a shutdown reports the name as
    /// [stuck](crate::ShutdownError::stuck).
    ///
    /// ```
    /// use actorgrid::{ActorType, EchoMsg, Request};
    ///
    /// #[derive(Clone, PartialEq, prost::Message, actorgrid::Message)]
    /// struct Config {
    ///     #[prost(uint32, tag = "1")]
    ///     queue: u32,
    /// }
    ///
    /// let echo = ActorType::from_fn("echo", async |_start, ctx| {
    ///     // The declared capacity applies, not the one given here.
    ///     let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(1).await?;
    ///     while let Some(request) = mailbox.recv().await {
    ///         let text = request.message().clone();
    ///         request.respond(text)?;
    ///     }
    ///     Ok(())
    /// })
    /// .mailbox_with::<Request<EchoMsg>>(|start| {
    ///     start.decode::<Config>().map_or(10, |config| config.queue as usize)
    /// });
    /// ```
    #[must_use]
    pub fn mailbox_with<S: MessageSet>(
        mut self,
        capacity: impl Fn(&ActorStart) -> usize + Send + Sync + 'static,
    ) -> Self {
        let capacity = DeclaredCapacity::OfStart(Arc::new(capacity));
        self.declared = Some(DeclaredMailbox::new::<S>(capacity));
        self
    }

    pub(in crate::server) fn construct(
        &self,
        start: ActorStart,
    ) -> BoxFuture<'static, Result<BoxActor, BoxError>> {
        (self.constructor)(start)
    }
}

impl fmt::Debug for ActorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorType")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
