//! A request that has not begun: its deadline does not run yet.

use std::sync::Arc;
use std::time::Duration;

use super::drive::Drive;
use super::policy::RepeatPolicy;
use super::receiver::RequestReceiver;
use super::spec::{Purpose, RequestSpec};
use crate::client::core::ClientCore;
use crate::environment::{Deadline, MAX_DEADLINE};
use crate::error::RequestError;
use crate::message::{AnyMessage, Body};
use crate::route::Headers;

/// A request that has not begun. It is small, as it is moved several times before it begins.
pub(super) struct NewRequest {
    pub(super) core: Arc<ClientCore>,
    pub(super) to: RequestReceiver,
    /// `None` once it is handed over by value.
    pub(super) message: Option<Box<dyn AnyMessage>>,
    pub(super) deadline: Duration,
    pub(super) policy: RepeatPolicy,
    pub(super) purpose: Purpose,
    pub(super) wait_for_name: bool,
    pub(super) fail_fast: bool,
    pub(super) from_handler: bool,
    /// None if there are no headers, as there are seldom any.
    pub(super) headers: Option<Box<NewHeaders>>,
}

/// The headers of a request that has not begun.
#[derive(Default)]
pub(super) struct NewHeaders {
    pub(super) headers: Headers,
    /// The first one that is not valid.
    pub(super) refused: Option<RequestError>,
}

impl NewRequest {
    /// Returns the time that the request has.
    pub(super) fn time(&self) -> Duration {
        self.deadline.min(MAX_DEADLINE)
    }

    /// Fails if the name of the receiver or a header is not valid.
    pub(super) fn check(&mut self) -> Result<(), RequestError> {
        if let Some(headers) = &mut self.headers
            && let Some(error) = headers.refused.take()
        {
            return Err(error);
        }
        match &self.to {
            RequestReceiver::Known(_) | RequestReceiver::Named(_) => Ok(()),
            RequestReceiver::Invalid(error) => Err(RequestError::invalid_name(error)),
        }
    }

    /// Returns what drives the request, which has begun with this number.
    ///
    /// # Errors
    ///
    /// The name of the receiver is not valid.
    pub(super) fn into_drive(self, number: u64, deadline: Deadline) -> Result<Drive, RequestError> {
        let spec = RequestSpec {
            receiver: self.to.into_name()?,
            deadline,
            headers: self.headers.map(|new| new.headers).unwrap_or_default(),
            body: self.message.map(Body::Value),
            purpose: self.purpose,
            policy: self.policy,
            wait_for_name: self.wait_for_name,
            fail_fast: self.fail_fast,
            from_handler: self.from_handler,
        };
        Ok(Drive::new(self.core, Some(number), spec))
    }
}
