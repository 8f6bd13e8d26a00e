//! Dispatches a caller's request to a worker, and returns its answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actorgrid::{BoxError, Client, Kind, Name, Registration, Watch, WatchEvent};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::choice;
use crate::messages::Work;
use crate::worker;

/// The time limit for one caller's request, including all tries.
const DEADLINE: Duration = Duration::from_secs(2);
/// The maximum number of workers that are tried for one request.
const MAX_TRIES: usize = 3;

/// The workers that the registry lists.
pub(crate) struct Workers {
    names: BTreeSet<Name>,
    watch: Watch,
    published: watch::Sender<Arc<[Name]>>,
}

impl Workers {
    pub(crate) async fn of(client: &Client) -> Result<Self, BoxError> {
        let (now, watch) = client.watch(Kind::Mailbox).await?;
        let names: BTreeSet<_> = now.into_iter().filter_map(worker_name).collect();
        let published = watch::Sender::new(names.iter().cloned().collect());
        Ok(Self {
            names,
            watch,
            published,
        })
    }

    /// Follows the changes until the future is dropped.
    pub(crate) async fn follow(&mut self) {
        loop {
            let changed = match self.watch.next().await {
                WatchEvent::Appeared(mailbox) => {
                    worker_name(mailbox).is_some_and(|name| self.names.insert(name))
                }
                WatchEvent::Disappeared(mailbox) => {
                    worker_name(mailbox).is_some_and(|name| self.names.remove(&name))
                }
                // Other events change no names. (After a loss of history, the changes follow.)
                _ => false,
            };
            if changed {
                tracing::debug!(workers = self.names.len(), "workers changed");
                self.published
                    .send_replace(self.names.iter().cloned().collect());
            }
        }
    }

    pub(crate) fn published(&self) -> watch::Receiver<Arc<[Name]>> {
        self.published.subscribe()
    }
}

fn worker_name(mailbox: Registration) -> Option<Name> {
    Some(mailbox.name).filter(|name| name.as_str().starts_with(worker::PREFIX))
}

/// Chooses workers and asks them.
pub(crate) struct Dispatcher {
    client: Client,
    workers: watch::Receiver<Arc<[Name]>>,
    turn: AtomicUsize,
}

impl Dispatcher {
    pub(crate) fn new(client: Client, workers: watch::Receiver<Arc<[Name]>>) -> Self {
        Self {
            client,
            workers,
            turn: AtomicUsize::new(0),
        }
    }

    /// Asks the user's worker, or any worker if there is no user. If a worker certainly did
    /// nothing, the next choice is asked; if it may have done the work, no other one is.
    pub(crate) async fn ask(&self, user: Option<String>) -> Answer {
        let end = Instant::now() + DEADLINE;
        let turn = match user {
            Some(_) => 0,
            None => self.turn.fetch_add(1, Ordering::Relaxed),
        };
        let mut answer = Answer::NoWorker;
        let mut tried: Vec<Name> = Vec::new();
        while tried.len() < MAX_TRIES {
            // Chosen anew for each try: a worker that rejects a request is often about to leave.
            let workers = self.workers.borrow().clone();
            let mut choices = match &user {
                Some(user) => choice::for_user(&workers, user),
                None => choice::in_turn(&workers, turn),
            };
            choices.retain(|worker| !tried.contains(worker));
            let left = end.saturating_duration_since(Instant::now());
            let Some(&worker) = choices.first().filter(|_| !left.is_zero()) else {
                break;
            };
            tried.push(worker.clone());
            // The worker of a crashed peer stays registered until the lease expires, and a request
            // to it is retried until its deadline. That must not use up all the time.
            let is_last = choices.len() == 1 || tried.len() == MAX_TRIES;
            let deadline = if is_last { left } else { left / 2 };
            let work = Work { user: user.clone() };
            match self.client.request(worker, work).deadline(deadline).await {
                Ok(done) => return Answer::Done(done),
                Err(error) => {
                    tracing::debug!(%worker, kind = ?error.kind(), %error, "not answered");
                    if error.may_have_executed() {
                        return Answer::MayHaveBeenExecuted(error.to_string());
                    }
                    answer = Answer::Refused(error.to_string());
                }
            }
        }
        answer
    }
}
