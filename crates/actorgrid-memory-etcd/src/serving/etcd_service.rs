//! The parts that all services share: faults, access, and the way to the state.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::error::EtcdError;
use crate::etcd_core::EtcdCore;
use crate::faults::{CallFault, CallKind};
use crate::state::EtcdState;

/// The metadata that contains the token of a user.
const TOKEN: &str = "token";

/// Carries out a request.
pub(super) type CarryOut<Q, R> = fn(&mut EtcdState, Duration, &Q) -> Result<R, EtcdError>;

/// The services of etcd on one server.
#[derive(Debug, Clone)]
pub(super) struct EtcdService {
    pub(super) core: Arc<EtcdCore>,
}

impl EtcdService {
    pub(super) fn new(core: Arc<EtcdCore>) -> Self {
        Self { core }
    }

    /// Carries out one request of an authenticated caller, with the fault that waits for it.
    pub(super) async fn call<Q, R>(
        &self,
        kind: CallKind,
        request: Request<Q>,
        carry_out: CarryOut<Q, R>,
    ) -> Result<Response<R>, Status>
    where
        Q: Send + 'static,
        R: Send + 'static,
    {
        let token = token_of(request.metadata());
        let request = request.into_inner();
        let reply = self.outcome(kind, request, move |state, now, request| {
            state.access.check(token.as_deref())?;
            carry_out(state, now, request)
        });
        Ok(Response::new(reply.await?))
    }

    /// Carries out a request, with the fault that waits for it. Never returns if the request or its
    /// reply is lost.
    pub(super) async fn outcome<Q, R>(
        &self,
        kind: CallKind,
        request: Q,
        carry_out: impl FnOnce(&mut EtcdState, Duration, &Q) -> Result<R, EtcdError> + Send + 'static,
    ) -> Result<R, EtcdError>
    where
        Q: Send + 'static,
        R: Send,
    {
        let fault = self.core.with(|state, _| state.faults.next(kind));
        match fault {
            Some(CallFault::LoseRequest) => return pending().await,
            Some(CallFault::FailRequest) => return Err(EtcdError::TimedOut),
            Some(CallFault::ArriveLate(by)) => {
                self.core.with(|state, now| {
                    let late = move |state: &mut EtcdState, at: Duration| {
                        // Nobody waits for the reply.
                        drop(carry_out(state, at, &request));
                    };
                    state.arrive_late(now + by, Box::new(late));
                });
                return pending().await;
            }
            _ => {}
        }
        let reply = self.core.with(|state, now| carry_out(state, now, &request));
        match fault {
            Some(CallFault::LoseReply) => pending().await,
            Some(CallFault::FailReply) => Err(EtcdError::TimedOut),
            Some(CallFault::AnswerLate(by)) => {
                tokio::time::sleep(by).await;
                reply
            }
            _ => reply,
        }
    }
}

pub(super) fn token_of(metadata: &MetadataMap) -> Option<String> {
    let token = metadata
        .get(TOKEN)
        .or_else(|| metadata.get("authorization"))?;
    Some(token.to_str().ok()?.to_owned())
}
