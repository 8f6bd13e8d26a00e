//! The context of an actor: its identity, and its access to its peer.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::scope::ActorScope;
use crate::client::Client;
use crate::environment::Environment;
use crate::mailbox::{Mailbox, MailboxError, MailboxOwner, Stopping, TokenExpired};
use crate::name::{IntoName, Name, Namespace};
use crate::registry::{Kind, keys};
use crate::request::MessageSet;
use crate::token::Token;

/// The context of an actor: its identity, and its access to its peer. Cheap to clone.
#[derive(Clone)]
pub struct ActorContext {
    core: Arc<ContextCore>,
}

struct ContextCore {
    environment: Environment,
    name: Name,
    actor_type: Name,
    token: Token,
    owner: MailboxOwner,
    client: Client,
    scope: ActorScope,
}

impl ActorContext {
    pub(super) fn new(
        environment: Environment,
        name: Name,
        actor_type: Name,
        token: Token,
        owner: MailboxOwner,
        client: Client,
        declared: Option<Box<dyn Any + Send>>,
    ) -> Self {
        Self {
            core: Arc::new(ContextCore {
                environment,
                name,
                actor_type,
                token,
                owner,
                client: client.for_handlers(),
                scope: ActorScope::new(declared),
            }),
        }
    }

    /// Returns the key under which the actor is registered: `<namespace>.actor.<name>`. It is
    /// unique in the whole registry, so it identifies the actor in the logs and metrics of several
    /// grids.
    ///
    /// ```no_run
    /// # fn shown(ctx: actorgrid::ActorContext) {
    /// assert_eq!(ctx.id(), format!("{}.actor.{}", ctx.namespace(), ctx.name()));
    /// # }
    /// ```
    #[must_use]
    #[doc(alias = "ContextActorID")]
    pub fn id(&self) -> String {
        keys::of(self.namespace(), Kind::Actor, &self.core.name)
    }

    /// Returns the actor's name.
    #[must_use]
    #[doc(alias = "ContextActorName")]
    pub fn name(&self) -> &Name {
        &self.core.name
    }

    /// Returns the actor's type.
    #[must_use]
    pub fn actor_type(&self) -> &Name {
        &self.core.actor_type
    }

    /// Returns the grid's namespace.
    #[must_use]
    #[doc(alias = "ContextActorNamespace")]
    pub fn namespace(&self) -> &Namespace {
        &self.core.owner.names.identity().namespace
    }

    /// Returns the name of the peer on which the actor runs.
    #[must_use]
    pub fn peer(&self) -> &Name {
        self.core.owner.names.identity().peer()
    }

    /// Returns the fencing token of the actor's registration. Pass it to a resource outside of the
    /// grid with each change, so that the resource can reject a holder that is too late.
    ///
    /// # Errors
    ///
    /// Fails with [`TokenExpired`] if the peer is fenced, or if the actor has ended: its `act` has
    /// returned or was aborted. The call reads the clock, so it already fails in the first step
    /// after a pause of the process that was too long.
    pub fn token(&self) -> Result<Token, TokenExpired> {
        self.core.owner.stop.current(self.core.token)
    }

    /// Returns the client of the peer. Its requests to mailboxes of the same peer do not leave the
    /// process.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.core.client
    }

    /// Opens the mailbox named after the actor, for `capacity` requests (1 to
    /// [`MAX_MAILBOX_CAPACITY`](crate::MAX_MAILBOX_CAPACITY)). If the actor's type
    /// [declares](crate::ActorType::mailbox) a mailbox, that one is returned, and the declared
    /// capacity applies.
    ///
    /// # Errors
    ///
    /// Fails with a [`MailboxError`]; nothing is left registered, with the exception given there.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases everything that was registered by then.
    #[doc(alias = "NewMailbox")]
    pub async fn mailbox<S: MessageSet>(
        &self,
        capacity: usize,
    ) -> Result<Mailbox<S>, MailboxError> {
        if let Some(declared) = self.core.scope.take_declared(&self.core.name)? {
            return Ok(declared);
        }
        // Boxed, as it is part of the future of each actor for as long as that runs.
        Box::pin(self.core.owner.open(self.core.name.clone(), capacity)).await
    }

    /// Opens a further mailbox, under another name. It closes when the actor has ended.
    ///
    /// # Errors
    ///
    /// As [`mailbox`](Self::mailbox).
    ///
    /// # Cancel safety
    ///
    /// As [`mailbox`](Self::mailbox).
    #[doc(alias = "NewMailbox")]
    pub async fn open_mailbox<S: MessageSet>(
        &self,
        name: impl IntoName,
        capacity: usize,
    ) -> Result<Mailbox<S>, MailboxError> {
        let name = name
            .into_name()
            .map_err(|error| MailboxError::invalid_name(&error))?;
        Box::pin(self.core.owner.open(name, capacity)).await
    }

    /// Runs a task that belongs to the actor: the task is cancelled and joined before the actor's
    /// name is released. If it panics, the panic is logged and the actor continues. After the actor
    /// has ended, nothing runs any more: the task is cancelled before its first step.
    pub fn spawn<F>(&self, task: F) -> AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let core = &self.core;
        core.scope.spawn(&core.name, &core.environment, task)
    }

    /// Waits until the actor is asked to stop, and returns the reason and the time left until it is
    /// aborted.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn stopping(&self) -> Stopping {
        let owner = &self.core.owner;
        let (reason, until) = owner.stop.stopping().await;
        Stopping {
            reason,
            time_left: until.since(self.core.environment.now()),
        }
    }

    /// Whether the actor has been asked to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.core.owner.stop.is_asked() || !self.core.owner.names.fence().admits()
    }

    /// Ends the actor's tasks and its declared mailbox.
    pub(super) async fn end(&self) {
        self.core.scope.end(&self.core.name).await;
    }
}

impl fmt::Debug for ActorContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorContext")
            .field("name", &self.core.name)
            .field("token", &self.core.token)
            .finish_non_exhaustive()
    }
}
