use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::time::Duration;

use futures_core::future::BoxFuture;

use super::Client;
use super::locations::Location;
use super::retry::{Attempt, Decision, Found, after_lookup, decide};
use crate::counter::Counter;
use crate::environment::Deadline;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::message::{Body, BodyError, Message};
use crate::name::{Name, NameError};
use crate::registry::Kind;
use crate::route::{Call, Headers, Meta, Route as _};
use crate::token::Token;

/// A request that is not sent yet: await it.
#[must_use = "a request is sent when it is awaited"]
pub struct RequestBuilder<R: Message> {
    client: Client,
    to: Result<Name, NameError>,
    body: Body,
    deadline: Duration,
    idempotent: bool,
    keep: bool,
    wait_for_name: bool,
    headers: Headers,
    refused: Option<RequestError>,
    reply: PhantomData<fn() -> R>,
}

impl<R: Message> RequestBuilder<R> {
    pub(super) fn new(client: Client, to: Result<Name, NameError>, message: impl Message) -> Self {
        Self {
            deadline: client.inner.deadline,
            client,
            to,
            body: Body::value(message),
            idempotent: false,
            keep: false,
            wait_for_name: false,
            headers: Headers::default(),
            refused: None,
            reply: PhantomData,
        }
    }

    /// The time within which the answer is wanted, repeats included; the client's default if not
    /// set, at most [`MAX_DEADLINE`](crate::MAX_DEADLINE). The request ends by then, plus 250 ms.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Allows repeats even if the request may have been executed.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Keeps the message when it is handed over by value, so that the request can be repeated when
    /// its receiver says that it did nothing.
    pub(super) fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// Waits, within the deadline, for a mailbox of the name to be registered; else a name that
    /// nobody holds is an error at once.
    pub fn wait_for_name(mut self) -> Self {
        self.wait_for_name = true;
        self
    }

    /// Adds a header, which the receiver can read. A name holds lower-case ASCII letters, digits,
    /// `-`, `_` and `.`; all headers together have at most
    /// [`MAX_HEADER_BYTES`](crate::MAX_HEADER_BYTES), and there are at most
    /// [`MAX_HEADERS`](crate::MAX_HEADERS). A mistake is reported when the request is awaited.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Err(error) = self.headers.add(name, value) {
            self.refused.get_or_insert(error);
        }
        self
    }

    /// Expects another reply type than the message declares: for a receiver that answers
    /// otherwise, or [`Payload`](crate::Payload) for any.
    pub fn expecting<T: Message>(self) -> RequestBuilder<T> {
        RequestBuilder {
            client: self.client,
            to: self.to,
            body: self.body,
            deadline: self.deadline,
            idempotent: self.idempotent,
            keep: self.keep,
            wait_for_name: self.wait_for_name,
            headers: self.headers,
            refused: self.refused,
            reply: PhantomData,
        }
    }

    /// Sends the request and waits for its answer; what awaiting the builder does.
    ///
    /// # Errors
    ///
    /// [`RequestError`], by the deadline at the latest.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future tells the receiver that nobody waits; whether it was executed is then
    /// unknown.
    pub async fn send(self) -> Result<R, RequestError> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        let deadline = Deadline::after(self.deadline);
        let mut call = Call {
            receiver: self
                .to
                .map_err(|error| RequestError::invalid_name(&error))?,
            meta: Meta {
                id: self.client.next_id(),
                deadline,
                token: None,
                headers: self.headers,
            },
            body: Some(self.body),
            keep: self.idempotent || self.keep,
            executed: Executed::No,
        };
        let mut driver = Driver {
            client: &self.client,
            idempotent: self.idempotent,
            wait_for_name: self.wait_for_name,
            tries: 0,
            worst: Executed::No,
            failed_at: None,
            absent: false,
            out_of_time: false,
        };
        let answer = match deadline.bound(driver.drive(&mut call)).await {
            Some(answer) => answer?,
            None => {
                self.client.inner.counters.deadlines_exceeded.increment();
                let executed = driver.worst.max(call.executed);
                return Err(RequestError::deadline(executed));
            }
        };
        answer
            .into_message()
            .map_err(|error| unexpected::<R>(&error))
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

impl<R: Message> IntoFuture for RequestBuilder<R> {
    type Output = Result<R, RequestError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl<R: Message> fmt::Debug for RequestBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("to", &self.to)
            .field("message", &self.body)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Sends one request, as often as the retry policy says.
struct Driver<'a> {
    client: &'a Client,
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

impl Driver<'_> {
    async fn drive(&mut self, call: &mut Call) -> Result<Body, RequestError> {
        loop {
            let error = match self.attempt(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // Without time for another try, it is the error of the last one again.
            if !self.out_of_time {
                self.client.inner.counters.failed(error.kind());
            }
            self.tries += 1;
            self.worst = self.worst.max(error.executed());
            call.executed = Executed::No;
            let attempt = Attempt {
                error: &error,
                tries: self.tries,
                idempotent: self.idempotent,
                wait_for_name: self.wait_for_name && self.absent,
                time_left: call.meta.deadline.remaining(),
            };
            // No time is left for a repeat; or the message was handed over by value and refused by
            // the receiver itself, so that there is nothing to repeat.
            if self.out_of_time || call.body.is_none() {
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

    async fn attempt(&mut self, call: &mut Call) -> Result<Body, RequestError> {
        let inner = &*self.client.inner;
        inner.pool.check_open()?;
        self.absent = false;
        if let Some((_, local)) = &inner.local
            && self.failed_at.is_none()
            && local.knows(call.receiver.as_str())
        {
            call.meta.token = None;
            self.count(&inner.counters.local_tries);
            return local.call(call).await;
        }
        let location = match inner.locations.get(&call.receiver) {
            Some(location) => location,
            None => {
                let found = self.client.look_up(&call.receiver).await;
                let kind = found.as_ref().err().map(RequestError::kind);
                self.absent = kind == Some(RequestErrorKind::UnknownName);
                found?
            }
        };
        if let Some((token, error)) = self.failed_at.take() {
            self.hold_back(token, error, &location, call.meta.deadline)
                .await?;
        }
        call.meta.token = Some(location.token);
        match &inner.local {
            Some((peer, local)) if *peer == location.peer => {
                self.count(&inner.counters.local_tries);
                local.call(call).await
            }
            _ => {
                self.count(&inner.counters.remote_tries);
                inner.pool.route(&location.address).call(call).await
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
        deadline: Deadline,
    ) -> Result<(), RequestError> {
        let found = if failed == Some(location.token) {
            Found::Same
        } else {
            Found::Changed
        };
        let environment = &self.client.inner.environment;
        let left = deadline.remaining();
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
