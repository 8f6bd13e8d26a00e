//! The trait of an actor: a computation with a grid-unique name.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_core::future::BoxFuture;

use super::context::ActorContext;
use crate::error::BoxError;
use crate::message::ActorStart;

/// The result of an actor. An error is logged and has no other effect.
pub type ActorResult = Result<(), BoxError>;

/// A computation with a grid-unique name.
///
/// It runs from its registration until [`act`](Self::act) returns or is aborted; a panic ends only
/// this actor. When it has ended, its name is released.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    label = "implement `Actor` for it",
    note = "an async function of an `ActorContext` is registered with `actor_fn`"
)]
pub trait Actor: Send + Sized + 'static {
    /// Runs the actor.
    ///
    /// The future is dropped at one of its awaits if the actor was asked to stop and does not end
    /// within the shutdown timeout, or if its peer is fenced and reaches the hard deadline.
    fn act(self, ctx: ActorContext) -> impl Future<Output = ActorResult> + Send;

    /// Boxes the actor, for constructors that create different types of actors.
    fn boxed(self) -> BoxActor {
        BoxActor(Box::new(self))
    }
}

/// Any actor, boxed: see [`Actor::boxed`].
pub struct BoxActor(Box<dyn AnyActor>);

impl fmt::Debug for BoxActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxActor").finish_non_exhaustive()
    }
}

impl BoxActor {
    pub(in crate::server) fn run(self, ctx: ActorContext) -> BoxFuture<'static, ActorResult> {
        self.0.run(ctx)
    }
}

impl Actor for BoxActor {
    async fn act(self, ctx: ActorContext) -> ActorResult {
        self.run(ctx).await
    }

    fn boxed(self) -> Self {
        self
    }
}

trait AnyActor: Send {
    fn run(self: Box<Self>, ctx: ActorContext) -> BoxFuture<'static, ActorResult>;
}

impl<A: Actor> AnyActor for A {
    fn run(self: Box<Self>, ctx: ActorContext) -> BoxFuture<'static, ActorResult> {
        Box::pin((*self).act(ctx))
    }
}

/// An actor that is a function of its start and its context.
pub(in crate::server) struct ActorFn<F> {
    pub(in crate::server) function: Arc<F>,
    pub(in crate::server) start: ActorStart,
}

impl<F, Fut> ActorFn<F>
where
    F: Fn(ActorStart, ActorContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ActorResult> + Send + 'static,
{
    pub(in crate::server) fn boxed(self) -> BoxActor {
        BoxActor(Box::new(self))
    }
}

/// Not through [`Actor`], whose future would keep the start, and both arguments twice.
impl<F, Fut> AnyActor for ActorFn<F>
where
    F: Fn(ActorStart, ActorContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ActorResult> + Send + 'static,
{
    fn run(self: Box<Self>, ctx: ActorContext) -> BoxFuture<'static, ActorResult> {
        let Self { function, start } = *self;
        Box::pin(function(start, ctx))
    }
}
