//! A request that has not begun: its deadline does not run yet.

use std::sync::Arc;
use std::time::Duration;

use super::drive::Drive;
use super::policy::RepeatPolicy;
use super::spec::{Purpose, RequestSpec};
use crate::client::core::ClientCore;
use crate::environment::{Deadline, MAX_DEADLINE};
use crate::error::RequestError;
use crate::message::Body;
use crate::name::{Name, NameError};
use crate::route::Headers;

/// A request that has not begun.
pub(super) struct NewRequest {
    pub(super) core: Arc<ClientCore>,
    pub(super) to: Result<Name, NameError>,
    pub(super) body: Body,
    pub(super) deadline: Duration,
    pub(super) policy: RepeatPolicy,
    pub(super) purpose: Purpose,
    pub(super) wait_for_name: bool,
    pub(super) fail_fast: bool,
    pub(super) from_handler: bool,
    pub(super) headers: Headers,
    /// The first setting that is not valid.
    pub(super) refused: Option<RequestError>,
}

impl NewRequest {
    /// Returns the time that the request has.
    pub(super) fn time(&self) -> Duration {
        self.deadline.min(MAX_DEADLINE)
    }

    /// Begins the request: its deadline runs from here on.
    ///
    /// # Errors
    ///
    /// Fails if the name of the receiver or a setting is not valid.
    pub(super) fn begin(self) -> Result<Drive, RequestError> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        let receiver = self.to.map_err(|error| RequestError::invalid_name(&error));
        let spec = RequestSpec {
            receiver: receiver?,
            deadline: Deadline::after(self.deadline),
            headers: self.headers,
            body: self.body,
            purpose: self.purpose,
            policy: self.policy,
            wait_for_name: self.wait_for_name,
            fail_fast: self.fail_fast,
            from_handler: self.from_handler,
        };
        Ok(Drive::new(self.core, spec))
    }
}
