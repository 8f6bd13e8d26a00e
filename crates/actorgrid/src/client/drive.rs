//! One request, from its first try to its answer.

use super::Client;
use super::locations::Location;
use super::retry::{Attempt, Decision, Found, after_lookup, decide};
use crate::counter::Counter;
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::{Body, BodyError, Message};
use crate::name::Name;
use crate::registry::Kind;
use crate::route::{Call, Caller, Headers, Meta, Route as _};
use crate::token::Token;

/// What is to be sent, and how.
pub(super) struct Job {
    pub(super) receiver: Name,
    pub(super) deadline: Deadline,
    pub(super) headers: Headers,
    pub(super) body: Body,
    /// It starts an actor: its message is kept when it is handed over by value.
    pub(super) start: bool,
    /// Allow no repeat at all.
    pub(super) once: bool,
    pub(super) idempotent: bool,
    pub(super) wait_for_name: bool,
}

/// Sends one request, as often as the retry policy says.
///
/// It does not end by itself at the deadline: its caller bounds the time, drops the future of
/// [`answer`](Self::answer), and asks what it may have done.
pub(super) struct Drive<'a> {
    client: &'a Client,
    call: Call,
    start: bool,
    once: bool,
    idempotent: bool,
    wait_for_name: bool,
    /// Tries that have failed.
    tries: u32,
    /// What the tries that have failed may have done, all in all.
    worst: Executed,
    /// The registration that the last try failed at, and what it failed with: looked up again.
    failed_at: Option<(Option<Token>, RequestError)>,
    /// The last try ended because nobody holds the receiver's name. (A receiver can say so too,
    /// of another name; that one is not waited for.)
    absent: bool,
    /// The time that is left is too short for the next repeat.
    out_of_time: bool,
}

impl<'a> Drive<'a> {
    pub(super) fn new(client: &'a Client, job: Job) -> Self {
        Self {
            client,
            call: Call {
                receiver: job.receiver,
                meta: Meta {
                    id: client.next_id(),
                    deadline: job.deadline,
                    token: None,
                    headers: job.headers,
                    caller: Caller::local(),
                },
                // What is encoded costs nothing to keep.
                keep: job.idempotent || job.start || matches!(job.body, Body::Encoded(_)),
                body: Some(job.body),
                executed: Executed::No,
            },
            start: job.start,
            once: job.once,
            idempotent: job.idempotent,
            wait_for_name: job.wait_for_name,
            tries: 0,
            worst: Executed::No,
            failed_at: None,
            absent: false,
            out_of_time: false,
        }
    }

    /// Sends the request and waits for its answer.
    pub(super) async fn answer<R: Message>(&mut self) -> Result<R, RequestError> {
        let answer = self.drive().await;
        // A Go peer tells a constructor's error by its text alone.
        let answer = match answer {
            Err(error) if self.start && error.kind() == RequestErrorKind::Application => {
                Err(error.of_kind(RequestErrorKind::StartFailed))
            }
            answer => answer,
        };
        answer?
            .into_message()
            .map_err(|error| unexpected::<R>(&error))
    }

    /// What the request may have done by now, if nobody waits for its answer any more.
    pub(super) fn executed(&self) -> Executed {
        self.worst.max(self.call.executed)
    }

    /// The error of a request that was given up at its deadline.
    pub(super) fn overdue(&self) -> RequestError {
        self.client.inner.counters.deadlines_exceeded.increment();
        RequestError::deadline(self.executed())
    }

    async fn drive(&mut self) -> Result<Body, RequestError> {
        loop {
            let error = match self.attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // Without time for another try, it is the error of the last one again.
            if !self.out_of_time {
                self.client.inner.counters.failed(error.kind());
            }
            self.tries += 1;
            self.worst = self.worst.max(error.executed());
            self.call.executed = Executed::No;
            let call = &mut self.call;
            let attempt = Attempt {
                error: &error,
                tries: self.tries,
                idempotent: self.idempotent,
                wait_for_name: self.wait_for_name && self.absent,
                time_left: call.meta.deadline.remaining(),
            };
            // No repeat is wanted, or no time is left for one; or the message was handed over by value and refused by
            // the receiver itself, so that there is nothing to repeat.
            if self.once || self.out_of_time || call.body.is_none() {
                return Err(error.at_least(self.worst));
            }
            let environment = &self.client.inner.environment;
            match decide(&attempt, environment.random_unit()) {
                Decision::GiveUp => return Err(error.at_least(self.worst)),
                Decision::WaitForName => {
                    self.client.wait_for(Kind::Mailbox, &call.receiver).await?;
                }
                Decision::Repeat(repeat) => {
                    if !repeat.after.is_zero() {
                        environment.sleep(repeat.after).await;
                    }
                    if repeat.look_up {
                        let token = call.meta.token;
                        let inner = &self.client.inner;
                        if let Some(token) = token
                            && inner.locations.forget(&call.receiver, token)
                        {
                            inner.counters.locations_forgotten.increment();
                        }
                        self.failed_at = Some((token, error));
                    }
                }
            }
        }
    }

    async fn attempt(&mut self) -> Result<Body, RequestError> {
        let inner = &*self.client.inner;
        inner.pool.check_open()?;
        self.absent = false;
        if let Some((_, local)) = &inner.local
            && self.failed_at.is_none()
            && local.knows(self.call.receiver.as_str())
        {
            self.call.meta.token = None;
            self.count(&inner.counters.local_tries);
            return local.call(&mut self.call).await;
        }
        let location = match inner.locations.get(&self.call.receiver) {
            Some(location) => location,
            None => {
                let found = self.client.look_up(&self.call.receiver).await;
                let kind = found.as_ref().err().map(RequestError::kind);
                self.absent = kind == Some(RequestErrorKind::UnknownName);
                found?
            }
        };
        if let Some((token, error)) = self.failed_at.take() {
            self.hold_back(token, error, &location).await?;
        }
        self.call.meta.token = Some(location.token);
        match &inner.local {
            Some((peer, local)) if *peer == location.peer => {
                self.count(&inner.counters.local_tries);
                local.call(&mut self.call).await
            }
            _ => {
                self.count(&inner.counters.remote_tries);
                inner
                    .pool
                    .route(&location.address, location.capabilities)
                    .call(&mut self.call)
                    .await
            }
        }
    }

    /// Counts a try at a mailbox.
    fn count(&self, tries: &Counter) {
        tries.increment();
        if self.tries > 0 {
            self.client.inner.counters.repeats.increment();
        }
    }

    /// Waits before a holder is tried again that has just refused.
    async fn hold_back(
        &mut self,
        failed: Option<Token>,
        error: RequestError,
        location: &Location,
    ) -> Result<(), RequestError> {
        let found = if failed == Some(location.token) {
            Found::Same
        } else {
            Found::Changed
        };
        let environment = &self.client.inner.environment;
        let left = self.call.meta.deadline.remaining();
        match after_lookup(found, self.tries, left, environment.random_unit()) {
            Some(after) if after.is_zero() => Ok(()),
            Some(after) => {
                environment.sleep(after).await;
                Ok(())
            }
            None => {
                self.out_of_time = true;
                Err(error)
            }
        }
    }
}

fn unexpected<R: Message>(error: &BodyError) -> RequestError {
    let text = match error {
        BodyError::Type(body) => format!(
            "the reply is a {:?}, not a {:?}",
            body.wire_name(),
            R::WIRE_NAME
        ),
        BodyError::Bytes(error) => format!("the reply cannot be read: {error}"),
    };
    RequestError::new(RequestErrorKind::UnexpectedReply, Executed::Yes, text)
}
