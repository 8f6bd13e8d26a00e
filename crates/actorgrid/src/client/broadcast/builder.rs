//! The builder of a broadcast: its options, and how its requests are driven.

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

/// The default number of requests of one broadcast that are under way at a time. A peer allows
/// 1,024 streams on a connection by default, so this leaves room for three other broadcasts to the
/// same peer, and for single requests.
pub const DEFAULT_CONCURRENCY: usize = 256;

/// A broadcast that has not been sent yet. Await it to send it.
///
/// The message is sent once to each member of the group, as a separate
/// [request](crate::Client::request) with the same rules; the result has an [`Outcome`] for each.
/// Only its deadline, the [fastest](Self::fastest) reply, or a drop ends a broadcast early. The
/// future itself drives all requests: there are no tasks.
///
/// ```no_run
/// # async fn run(client: actorgrid::Client) -> Result<(), actorgrid::BoxError> {
/// use actorgrid::{EchoMsg, Group};
///
/// let group = Group::new(["replica-1", "replica-2", "replica-3"])?;
///
/// // Ask all of them; ask those that did not reply once more.
/// let mut result = client.broadcast(&group, EchoMsg::new("hi")).idempotent().await;
/// let left = group.except_successes(&result);
/// result.add(client.broadcast(&left, EchoMsg::new("hi")).idempotent().await);
/// for (name, reply) in result.into_result()?.successes() {
///     println!("{name}: {}", reply.msg);
/// }
///
/// // Ask for the fastest reply.
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
    from_handler: bool,
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
    /// Whether code that itself answers requests sends it.
    pub(in crate::client) fn sent_by_handler(mut self, from_handler: bool) -> Self {
        self.from_handler = from_handler;
        self
    }

    /// Encodes the message once, for all members.
    pub(in crate::client) fn new(
        core: Arc<ClientCore>,
        group: Group,
        message: &impl Message,
    ) -> Self {
        Self {
            deadline: core.deadline,
            core,
            from_handler: false,
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

    /// Sets the time within which all answers must arrive, repeats included. The client's default
    /// if not set; at most [`MAX_DEADLINE`](crate::MAX_DEADLINE). The broadcast ends at most 250 ms
    /// after it: members that have not answered by then have failed with
    /// [`DeadlineExceeded`](crate::RequestErrorKind::DeadlineExceeded).
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets how many requests are under way at a time. [`DEFAULT_CONCURRENCY`] by default; 0 counts
    /// as 1. Requests start in the order of the group; while this many are under way, the next one
    /// waits until another has ended, and then has only the remaining time. All broadcasts of a
    /// client together have at most 16,384 requests under way.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.max(1);
        self
    }

    /// Ends with the first reply, and abandons the requests that are under way then, which signals
    /// those members that nobody waits. A member that fails does not end the broadcast: it ends
    /// without a reply only if all members have failed, or at the deadline.
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
    /// [`RequestBuilder::header`](crate::RequestBuilder::header). If a header is invalid, nothing
    /// is sent, and all members have failed with that error.
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
            from_handler: self.from_handler,
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

    /// Sends the broadcast and waits for its end, as awaiting the builder does. The failure of each
    /// member is in the [`BroadcastResult`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future signals all receivers that nobody waits; it is then unknown which of
    /// them have executed the request.
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
                body: Some(Body::Encoded(self.message.clone())),
                purpose: Purpose::Message,
                policy: self.policy,
                wait_for_name: false,
                fail_fast: false,
                from_handler: self.from_handler,
            };
            Drive::new(Arc::clone(&self.core), None, spec)
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
        // Requests that are still under way are dropped here; afterwards their drives know how far
        // they got.
        let _ = deadline.bound(fan_out).await;
        let lost = self.fastest && answers.first.is_some();
        let outcome = |(answer, drive): (Option<Outcome<R>>, &Drive)| match answer {
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

/// Drives all requests to their ends, or until the first reply if that is enough.
async fn fan_out<R: Message>(
    drives: &mut [Drive],
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
