//! Reports what happens to an actor to the log, the counters and the server's events.

use super::context::ActorContext;
use super::user_code::CodeFailure;
use crate::revision::Revision;
use crate::server::events::{ActorEnd, ServerEvent};
use crate::server::leader::LEADER;
use crate::server::life::Life;
use crate::token::Token;

/// The reports of one actor.
pub(super) struct ActorReport<'a> {
    life: &'a Life,
    ctx: &'a ActorContext,
    token: Token,
}

impl<'a> ActorReport<'a> {
    pub(super) fn new(life: &'a Life, ctx: &'a ActorContext, revision: Revision) -> Self {
        Self {
            life,
            ctx,
            token: life.names().token_at(revision),
        }
    }

    /// Reports that the constructor has succeeded.
    pub(super) fn started(&self) {
        self.life.counters().actors_started.increment();
        self.life.events().publish(|| ServerEvent::ActorStarted {
            name: self.ctx.name().clone(),
            actor_type: self.ctx.actor_type().clone(),
            token: self.token,
        });
        if self.is_leader() {
            let token = self.token;
            let events = self.life.events();
            events.publish(|| ServerEvent::LeaderStarted { token });
        }
    }

    /// Logs how the actor's code ended.
    pub(super) fn acted(&self, result: &Result<(), CodeFailure>) {
        let actor = self.ctx.name();
        match result {
            Ok(()) => tracing::debug!(%actor, "actor ended"),
            Err(CodeFailure::Failed(error)) => tracing::warn!(%actor, error, "actor failed"),
            Err(CodeFailure::Panicked(panic)) => {
                self.life.counters().actor_panics.increment();
                tracing::error!(%actor, panic, "actor panicked");
            }
            Err(CodeFailure::NotRun) => {
                tracing::debug!(%actor, "actor was stopped before it began");
            }
            // Only a constructor has a limit.
            Err(CodeFailure::Aborted | CodeFailure::TimedOut(_)) => {
                tracing::warn!(%actor, "actor aborted");
            }
        }
    }

    /// Reports that an actor that had started has ended, with everything that belongs to it.
    pub(super) fn ended(&self, result: &Result<(), CodeFailure>) {
        self.life.report_fence();
        self.life.counters().actors_ended.increment();
        self.life.events().publish(|| ServerEvent::ActorEnded {
            name: self.ctx.name().clone(),
            actor_type: self.ctx.actor_type().clone(),
            token: self.token,
            end: result
                .as_ref()
                .map_or_else(CodeFailure::end, |()| ActorEnd::Returned),
        });
        if self.is_leader() {
            let token = self.token;
            let events = self.life.events();
            events.publish(|| ServerEvent::LeaderStopped { token });
        }
    }

    /// Logs why the constructor did not succeed.
    pub(super) fn not_constructed(&self, failure: &CodeFailure) {
        let actor = self.ctx.name();
        match failure {
            CodeFailure::Failed(error) => tracing::warn!(%actor, error, "constructor failed"),
            CodeFailure::Panicked(panic) => {
                self.life.counters().actor_panics.increment();
                tracing::error!(%actor, panic, "constructor panicked");
            }
            CodeFailure::TimedOut(limit) => {
                self.life.counters().constructors_timed_out.increment();
                tracing::warn!(%actor, ?limit, "constructor timed out");
            }
            CodeFailure::NotRun | CodeFailure::Aborted => {}
        }
    }

    /// Reports that an actor whose constructor did not succeed has ended, with everything that
    /// belongs to it.
    pub(super) fn start_failed(&self, failure: &CodeFailure) {
        self.life.report_fence();
        self.life.counters().starts_failed.increment();
        self.life.events().publish(|| ServerEvent::StartFailed {
            name: self.ctx.name().clone(),
            actor_type: self.ctx.actor_type().clone(),
            token: self.token,
            end: failure.end(),
        });
    }

    fn is_leader(&self) -> bool {
        self.ctx.name().as_str() == LEADER && self.ctx.actor_type().as_str() == LEADER
    }
}
