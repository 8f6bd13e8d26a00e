//! The error with which an actor answers a request.

use crate::code::Code;
use crate::error::{BoxError, Executed, RequestError, RequestErrorKind};
use crate::message::{Message, Payload};

/// The maximum size of a failure's detail, including its wire name. It is small because the detail
/// travels in a header.
pub(super) const MAX_DETAIL_BYTES: usize = 8 * 1024;

/// An error that answers a request: a text, and optionally a [`Code`] and a message that the
/// requester can decode.
///
/// Every text and every error converts into a `Failure`, so `request.fail("no such account")` works
/// without naming the type.
///
/// ```
/// # use actorgrid::{Code, EchoMsg, Failure, Request, RespondError};
/// # fn answer(request: Request<EchoMsg>) -> Result<(), RespondError<EchoMsg>> {
/// let failure = Failure::new("no such account").code(Code::NotFound);
/// request.fail(failure)
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Failure {
    text: String,
    code: Option<Code>,
    detail: Option<Payload>,
}

impl Failure {
    /// Creates a failure with the text of an error, and without a code.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self {
            text: error.into().to_string(),
            code: None,
            detail: None,
        }
    }

    /// Sets the code. A client of the Go library receives it as the code of the gRPC status, a
    /// client of this library as [`RequestError::code`]. The default is [`Code::Unknown`].
    #[must_use]
    pub fn code(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
    }

    /// Attaches a message that clients of this library decode with [`RequestError::detail`].
    /// It may have up to 8 KiB, including its wire name.
    #[must_use]
    pub fn detail<D: Message>(mut self, detail: &D) -> Self {
        self.detail = Some(Payload::of(detail));
        self
    }

    /// Returns the number of bytes of the detail, including its wire name.
    pub(super) fn detail_bytes(&self) -> usize {
        self.detail
            .as_ref()
            .map_or(0, |detail| detail.wire_name().len() + detail.bytes().len())
    }

    pub(super) fn without_detail(mut self) -> Self {
        self.detail = None;
        self
    }

    /// Converts into the requester's error. A failure is an answer, so the request was executed.
    pub(super) fn into_error(self) -> RequestError {
        let mut error = RequestError::new(RequestErrorKind::Application, Executed::Yes, self.text);
        if let Some(code) = self.code {
            error = error.with_code(code);
        }
        if let Some(detail) = self.detail {
            error = error.with_detail(detail);
        }
        error
    }
}

impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}
