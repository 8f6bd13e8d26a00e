//! The tasks and the declared mailbox of an actor, which must end with it.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::environment::Environment;
use crate::mailbox::{Mailbox, MailboxError};
use crate::name::Name;
use crate::request::MessageSet;

/// The tasks and the declared mailbox of one actor.
pub(super) struct ActorScope {
    owned: Mutex<Owned>,
    declares: bool,
}

struct Owned {
    has_ended: bool,
    /// `None` until there is a task, as few actors have any.
    tasks: Option<JoinSet<()>>,
    /// The declared mailbox, until it is taken.
    declared: Option<Box<dyn Any + Send>>,
}

impl ActorScope {
    pub(super) fn new(declared: Option<Box<dyn Any + Send>>) -> Self {
        Self {
            declares: declared.is_some(),
            owned: Mutex::new(Owned {
                has_ended: false,
                tasks: None,
                declared,
            }),
        }
    }

    /// Hands over the declared mailbox. Returns `None` if the actor's type declares none.
    pub(super) fn take_declared<S: MessageSet>(
        &self,
        actor: &Name,
    ) -> Result<Option<Mailbox<S>>, MailboxError> {
        if !self.declares {
            return Ok(None);
        }
        let mistaken = || MailboxError::declared(actor);
        let mut owned = self.lock();
        let declared = owned.declared.take().ok_or_else(mistaken)?;
        match declared.downcast::<Mailbox<S>>() {
            Ok(mailbox) => Ok(Some(*mailbox)),
            Err(other) => {
                owned.declared = Some(other);
                Err(mistaken())
            }
        }
    }

    /// Spawns a task or, after the actor has ended, drops it before its first step.
    pub(super) fn spawn<F>(&self, actor: &Name, environment: &Environment, task: F) -> AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut owned = self.lock();
        if owned.has_ended {
            // If it were spawned and then aborted, it could run on another worker in between.
            drop(owned);
            drop(task);
            return environment.spawn(async {}).abort_handle();
        }
        let tasks = owned.tasks.get_or_insert_default();
        while let Some(ended) = tasks.try_join_next() {
            report(actor, ended);
        }
        tasks.spawn(task)
    }

    /// Drops the declared mailbox, then aborts and joins the tasks.
    pub(super) async fn end(&self, actor: &Name) {
        let (tasks, declared) = {
            let mut owned = self.lock();
            owned.has_ended = true;
            (owned.tasks.take(), owned.declared.take())
        };
        // The queued messages are the user's code: if dropping one panics, the tasks must still be
        // joined.
        if std::panic::catch_unwind(AssertUnwindSafe(|| drop(declared))).is_err() {
            tracing::error!(%actor, "dropping the actor's mailbox panicked");
        }
        let Some(mut tasks) = tasks else { return };
        tasks.abort_all();
        while let Some(ended) = tasks.join_next().await {
            report(actor, ended);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Owned> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report(actor: &Name, ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%actor, %error, "a task of the actor panicked");
    }
}
