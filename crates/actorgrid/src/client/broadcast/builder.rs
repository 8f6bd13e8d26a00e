//! Broadcasts that are not sent yet, their options, and how they are driven.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::answers::Answers;
use super::outcome::Outcome;
use super::result::BroadcastResult;
use super::turns::FanOutTurns;
use crate::client::core::ClientCore;
use crate::client::request::{Drive, Purpose, RepeatPolicy, RequestSpec};
use crate::environment::Deadline;
use crate::error::{Executed, RequestError};
use crate::group::Group;
use crate::message::{Body, Message, Payload};
use crate::route::Headers;

/// The requests of one broadcast that are under way at a time, unless another number is set. A
/// peer takes 1,024 streams on a connection: so many leave room for three other broadcasts to the
/// same peer, and for requests beside them.
pub const DEFAULT_CONCURRENCY: usize = 256;

/// A broadcast that is not sent yet: await it.
///
/// Each member of the group is sent the message, once, as a [request](crate::Client::request) of
/// its own with the same rules; the result has an [`Outcome`] for each. Nothing ends a broadcast
/// early but its deadline, the [fastest](Self::fastest) reply, or a drop. All requests are driven
/// by the future itself: there are no tasks.
///
/// ```no_run
/// # async fn run(client: actorgrid::Client) -> Result<(), actorgrid::BoxError> {
/// use actorgrid::{EchoMsg, Group};
///
/// let group = Group::new(["replica-1", "replica-2", "replica-3"])?;
///
/// // All of them; those that did not reply are asked once more.
/// let mut result = client.broadcast(&group, EchoMsg::new("hi")).idempotent().await;
/// let left = group.except_successes(&result);
/// result.add(client.broadcast(&left, EchoMsg::new("hi")).idempotent().await);
/// for (name, reply) in result.into_result()?.successes() {
///     println!("{name}: {}", reply.msg);
/// }
///
/// // The fastest of them.
/// let result = client.broadcast(&group, EchoMsg::new("hi")).fastest().await;
/// if let Some((name, reply)) = result.into_result()?.into_first() {
///     println!("{name} was first: {}", reply.msg);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a broadcast is sent when it is awaited"]
pub struct BroadcastBuilder<R: Message> {
    core: Arc<ClientCore>,
    group: Group,
    message: Payload,
    deadline: Duration,
    concurrency: usize,
    policy: RepeatPolicy,
    fastest: bool,
    headers: Headers,
    refused: Option<RequestError>,
    reply: PhantomData<fn() -> R>,
}

impl<R: Message> BroadcastBuilder<R> {
    /// The message is encoded once, for all.
    pub(in crate::client) fn new(
        core: Arc<ClientCore>,
        group: Group,
        message: &impl Message,
    ) -> Self {
        Self {
            deadline: core.deadline,
            core,
            group,
            message: Payload::of(message),
            concurrency: DEFAULT_CONCURRENCY,
            policy: RepeatPolicy::IfNotExecuted,
            fastest: false,
            headers: Headers::default(),
            refused: None,
            reply: PhantomData,
        }
    }

    /// The time within which all answers are wanted, repeats included; the client's default if not
    /// set, at most [`MAX_DEADLINE`](crate::MAX_DEADLINE). The broadcast ends by then, plus 250 ms:
    /// members that have not answered have failed with
    /// [`DeadlineExceeded`](crate::RequestErrorKind::DeadlineExceeded).
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How many requests are under way at a time: [`DEFAULT_CONCURRENCY`] by default; 0 is taken as
    /// one. Members are begun in the order of the group, the next one when another has ended; one
    /// that is begun late has only the time that is left. All broadcasts of a client together have
    /// at most 16,384 requests under way.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.max(1);
        self
    }

    /// Ends with the first reply, and gives up the requests that are under way then, which signals
    /// those members that nobody waits. A member that fails does not end it: only when all have
    /// failed, or at the deadline, there is no reply.
    pub fn fastest(mut self) -> Self {
        self.fastest = true;
        self
    }

    /// Allows repeats even if the request may have been executed.
    pub fn idempotent(mut self) -> Self {
        self.policy = RepeatPolicy::Always;
        self
    }

    /// Adds a header, which the receivers can read; see
    /// [`RequestBuilder::header`](crate::RequestBuilder::header). After a mistake nothing is sent,
    /// and all members have failed with it.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Err(error) = self.headers.add(name, value) {
            self.refused.get_or_insert(error);
        }
        self
    }

    /// Expects another reply type than the message declares: see
    /// [`RequestBuilder::expecting`](crate::RequestBuilder::expecting).
    pub fn expecting<T: Message>(self) -> BroadcastBuilder<T> {
        BroadcastBuilder {
            core: self.core,
            group: self.group,
            message: self.message,
            deadline: self.deadline,
            concurrency: self.concurrency,
            policy: self.policy,
            fastest: self.fastest,
            headers: self.headers,
            refused: self.refused,
            reply: PhantomData,
        }
    }

    /// Sends the broadcast and waits for its end; what awaiting the builder does. Each member's
    /// failure is in the [`BroadcastResult`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future signals all receivers that nobody waits; which of them have executed the
    /// request is then unknown.
    pub async fn send(self) -> BroadcastResult<R> {
        if let Some(error) = self.refused {
            let failed = |_| Outcome::Failed(error.clone());
            let outcomes = (0..self.group.len()).map(failed).collect();
            return BroadcastResult::new(self.group, outcomes, None, self.fastest);
        }
        let deadline = Deadline::after(self.deadline);
        let drive = |receiver| {
            let spec = RequestSpec {
                receiver,
                deadline,
                headers: self.headers.clone(),
                body: Body::Encoded(self.message.clone()),
                purpose: Purpose::Message,
                policy: self.policy,
                wait_for_name: false,
                fail_fast: false,
            };
            Drive::new(&self.core, spec)
        };
        let mut drives: Vec<_> = self.group.members().iter().cloned().map(drive).collect();
        let mut answers = Answers::new(drives.len());
        let fan_out = fan_out(
            &mut drives,
            &self.core.fan_out,
            self.concurrency,
            self.fastest,
            &mut answers,
        );
        // Requests that are under way at the end are dropped here; then their drives know how far
        // they have come.
        let _ = deadline.bound(fan_out).await;
        let lost = self.fastest && answers.first.is_some();
        let outcome = |(answer, drive): (Option<Outcome<R>>, &Drive<'_>)| match answer {
            Some(outcome) => outcome,
            None if lost => Outcome::Cancelled {
                may_have_executed: drive.executed() != Executed::No,
            },
            None => Outcome::Failed(drive.overdue()),
        };
        let outcomes = answers.outcomes.into_iter().zip(&drives).map(outcome);
        let outcomes = outcomes.collect();
        BroadcastResult::new(self.group.clone(), outcomes, answers.first, self.fastest)
    }
}

/// Drives all requests to their ends, or to the first reply if that is enough.
async fn fan_out<R: Message>(
    drives: &mut [Drive<'_>],
    turns: &FanOutTurns,
    concurrency: usize,
    fastest: bool,
    answers: &mut Answers<R>,
) {
    let mut waiting = drives.iter_mut().enumerate();
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < concurrency
            && let Some((place, drive)) = waiting.next()
        {
            under_way.push(async move {
                let _turn = turns.take().await;
                (place, drive.answer::<R>().await)
            });
        }
        let Some((place, answer)) = under_way.next().await else {
            return;
        };
        answers.add(place, answer);
        if fastest && answers.first.is_some() {
            return;
        }
    }
}

impl<R: Message> IntoFuture for BroadcastBuilder<R> {
    type Output = BroadcastResult<R>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl<R: Message> fmt::Debug for BroadcastBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastBuilder")
            .field("members", &self.group.len())
            .field("message", &self.message)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
