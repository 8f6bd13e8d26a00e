use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::{AbortHandle, JoinSet};

use crate::client::Client;
use crate::environment::Environment;
use crate::mailbox::{Mailbox, MailboxError, MailboxOwner, Stopping};
use crate::name::{IntoName, Name, Namespace};
use crate::registry::{Kind, keys};
use crate::request::MessageSet;
use crate::session::FenceReason;
use crate::token::Token;

/// What an actor knows and can do. Cheap to clone.
#[derive(Clone)]
pub struct ActorContext {
    inner: Arc<Inner>,
}

struct Inner {
    environment: Environment,
    name: Name,
    actor_type: Name,
    token: Token,
    owner: MailboxOwner,
    client: Client,
    scope: Mutex<Scope>,
}

/// What belongs to the actor and must end with it.
#[derive(Default)]
struct Scope {
    /// None once the actor has ended.
    tasks: Option<JoinSet<()>>,
    /// The declared mailbox, until it is taken.
    declared: Option<Box<dyn Any + Send>>,
    declares: bool,
}

/// The peer is fenced: what the actor does from now on does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced {
    /// Why.
    pub reason: FenceReason,
}

impl fmt::Display for Fenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer is fenced ({:?})", self.reason)
    }
}

impl std::error::Error for Fenced {}

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
        let scope = Scope {
            tasks: Some(JoinSet::new()),
            declares: declared.is_some(),
            declared,
        };
        Self {
            inner: Arc::new(Inner {
                environment,
                name,
                actor_type,
                token,
                owner,
                client,
                scope: Mutex::new(scope),
            }),
        }
    }

    /// The key under which the actor is registered: `<namespace>.actor.<name>`. It is unique in the
    /// whole registry, so it suits as an identity in logs and metrics of several grids.
    ///
    /// ```no_run
    /// # fn shown(ctx: actorgrid::ActorContext) {
    /// assert_eq!(ctx.id(), format!("{}.actor.{}", ctx.namespace(), ctx.name()));
    /// # }
    /// ```
    #[must_use]
    #[doc(alias = "ContextActorID")]
    pub fn id(&self) -> String {
        keys::of(self.namespace(), Kind::Actor, &self.inner.name)
    }

    /// The actor's name.
    #[must_use]
    #[doc(alias = "ContextActorName")]
    pub fn name(&self) -> &Name {
        &self.inner.name
    }

    /// The actor's type.
    #[must_use]
    pub fn actor_type(&self) -> &Name {
        &self.inner.actor_type
    }

    /// The grid's namespace.
    #[must_use]
    #[doc(alias = "ContextActorNamespace")]
    pub fn namespace(&self) -> &Namespace {
        &self.inner.owner.names.identity().namespace
    }

    /// The peer on which the actor runs.
    #[must_use]
    pub fn peer(&self) -> &Name {
        self.inner.owner.names.identity().peer()
    }

    /// The fencing token of the actor's registration: what a resource outside of the grid is given
    /// with each change, so that it can refuse a holder that is too late.
    ///
    /// # Errors
    ///
    /// [`Fenced`] when the peer is fenced. It reads the clock, so the first step after a pause of
    /// the process is refused already.
    pub fn token(&self) -> Result<Token, Fenced> {
        let fence = self.inner.owner.names.fence();
        if fence.admits() {
            Ok(self.inner.token)
        } else {
            Err(Fenced {
                reason: fence.reason().unwrap_or(FenceReason::Deadline),
            })
        }
    }

    /// The client of the peer: its requests to mailboxes of the same peer do not leave the process.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// The mailbox named after the actor, for `capacity` requests (1 to
    /// [`MAX_MAILBOX_CAPACITY`](crate::MAX_MAILBOX_CAPACITY)). If the actor's type
    /// [declares](crate::ActorType::mailbox) it, it is handed over, and the declared capacity holds.
    ///
    /// # Errors
    ///
    /// [`MailboxError`]; nothing is left behind.
    ///
    /// # Cancel safety
    ///
    /// What was registered when the future is dropped is released.
    #[doc(alias = "NewMailbox")]
    pub async fn mailbox<S: MessageSet>(
        &self,
        capacity: usize,
    ) -> Result<Mailbox<S>, MailboxError> {
        if let Some(declared) = self.declared::<S>()? {
            return Ok(declared);
        }
        self.inner
            .owner
            .open(self.inner.name.clone(), capacity)
            .await
    }

    fn declared<S: MessageSet>(&self) -> Result<Option<Mailbox<S>>, MailboxError> {
        let mut scope = self.scope();
        if !scope.declares {
            return Ok(None);
        }
        let mistaken = || MailboxError::declared(&self.inner.name);
        match scope
            .declared
            .take()
            .ok_or_else(mistaken)?
            .downcast::<Mailbox<S>>()
        {
            Ok(mailbox) => Ok(Some(*mailbox)),
            Err(other) => {
                scope.declared = Some(other);
                Err(mistaken())
            }
        }
    }

    /// A further mailbox, under another name. It closes when the actor has ended.
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
        self.inner.owner.open(name, capacity).await
    }

    /// Runs a task that belongs to the actor: it is cancelled and joined before the actor's name
    /// is released. A panic of it is logged and does not end the actor. After the actor has ended
    /// nothing runs any more: the task is cancelled before its first step.
    pub fn spawn<F>(&self, task: F) -> AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut scope = self.scope();
        match &mut scope.tasks {
            Some(tasks) => {
                while let Some(ended) = tasks.try_join_next() {
                    report(&self.inner.name, ended);
                }
                tasks.spawn(task)
            }
            // Spawned and aborted, it could run on another worker in between.
            None => {
                drop(scope);
                drop(task);
                self.inner.environment.spawn(async {}).abort_handle()
            }
        }
    }

    /// Ends when the actor is to stop, and says why and how much time is left until it is aborted.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn stopping(&self) -> Stopping {
        let owner = &self.inner.owner;
        let (reason, until) = owner.stop.stopping(owner.names.fence()).await;
        Stopping {
            reason,
            time_left: until.since(self.inner.environment.now()),
        }
    }

    /// Whether the actor is to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.inner.owner.stop.is_asked() || !self.inner.owner.names.fence().admits()
    }

    /// Ends what belongs to the actor: its tasks, and its declared mailbox.
    pub(super) async fn end(&self) {
        let (tasks, declared) = {
            let mut scope = self.scope();
            (scope.tasks.take(), scope.declared.take())
        };
        // What is queued in it is user code's: its panic must not keep the tasks from being joined.
        if std::panic::catch_unwind(AssertUnwindSafe(|| drop(declared))).is_err() {
            tracing::error!(actor = %self.inner.name, "dropping the actor's mailbox panicked");
        }
        let Some(mut tasks) = tasks else { return };
        tasks.abort_all();
        while let Some(ended) = tasks.join_next().await {
            report(&self.inner.name, ended);
        }
    }

    fn scope(&self) -> MutexGuard<'_, Scope> {
        self.inner
            .scope
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn report(actor: &Name, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%actor, %error, "a task of the actor panicked");
    }
}

impl fmt::Debug for ActorContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorContext")
            .field("name", &self.inner.name)
            .field("token", &self.inner.token)
            .finish_non_exhaustive()
    }
}
