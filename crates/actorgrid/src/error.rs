//! The error of a request: its kind, whether the request may have executed, and its details.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::code::Code;
use crate::message::{DecodeError, Message, Payload};
use crate::name::{Name, NameError};
use crate::stable_names::stable_names;
use crate::token::Token;

/// Any error of an application: constructors and actors fail with one.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The longest error text that is sent; a longer one is cut. Go has been seen to send 70 kB. The
/// text travels in a header, percent-encoded to up to three times its length.
pub(crate) const MAX_ERROR_TEXT: usize = 64 * 1024;

/// The longest part of a name that is shown in a text: a client can make up a name of megabytes.
const MAX_SHOWN_BYTES: usize = 2 * 1024;

/// Returns the part of a name that is shown.
fn shown(name: &str) -> &str {
    let fits = (0..=MAX_SHOWN_BYTES.min(name.len())).rev();
    let end = fits.into_iter().find(|end| name.is_char_boundary(*end));
    &name[..end.unwrap_or(0)]
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, retryable $retryable:literal;)*) => {
        /// The kind of a [`RequestError`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum RequestErrorKind {
            $($(#[$doc])* $kind,)*
        }

        impl RequestErrorKind {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];

            const fn is_retryable(self) -> bool {
                match self {
                    $(Self::$kind => $retryable,)*
                }
            }
        }

        // Peers use the same names for the kinds on the wire.
        stable_names! {
            RequestErrorKind { $($kind = $name,)* }
        }
    };
}

kinds! {
    /// The name of the receiver, or a name in the message, is not valid.
    InvalidName = "invalid-name", retryable false;
    /// No registration holds the receiver's name.
    UnknownName = "unknown-name", retryable true;
    /// The peer that was asked does not hold the name, or holds it under another token than
    /// expected.
    NotHeld = "not-held", retryable true;
    /// The mailbox closed, or its peer was fenced or draining, before the request was handed out.
    MailboxClosed = "mailbox-closed", retryable true;
    /// The mailbox is full, or a limit of the peer was reached.
    Busy = "busy", retryable true;
    /// The mailbox does not take messages of this type.
    UnknownMessage = "unknown-message", retryable false;
    /// The bytes of the message do not decode as its type.
    InvalidMessage = "invalid-message", retryable false;
    /// The message is larger than the limit.
    MessageTooLarge = "message-too-large", retryable false;
    /// The reply is larger than the limit; the request was executed.
    ReplyTooLarge = "reply-too-large", retryable false;
    /// The reply has another type than the message declares, or cannot be decoded.
    UnexpectedReply = "unexpected-reply", retryable false;
    /// The headers are larger than the limit, or not valid.
    InvalidHeaders = "invalid-headers", retryable false;
    /// The deadline passed.
    DeadlineExceeded = "deadline-exceeded", retryable true;
    /// The receiver dropped the request without an answer, ended, panicked, or was fenced; or its
    /// reply found no room at the peer, because the client does not receive its replies.
    NoReply = "no-reply", retryable true;
    /// The receiver answered with an error. This is an answer, not a failure of the grid.
    Application = "application", retryable false;
    /// The name of the actor to start is taken by an actor that is running or about to run. (The
    /// peer that holds the name knows this. Another peer sees only the registration: the actor may
    /// already be ending.)
    AlreadyRunning = "already-running", retryable false;
    /// The peer registers no actor of this type.
    UnknownActorType = "unknown-actor-type", retryable false;
    /// The actor was not started, and its name is free: its constructor failed or panicked, or the
    /// capacity that the start message gives its declared mailbox is not valid. In the second case
    /// nothing was executed.
    StartFailed = "start-failed", retryable false;
    /// The name of the actor to start is still being released, and was not free by the deadline or
    /// before the peer stopped. Either this start has failed, as the text says, or an actor that
    /// has ended held the name; in the second case nothing was executed.
    NotReleased = "not-released", retryable true;
    /// The actor was asked to stop, but its name is not free after the time that it had to end: its
    /// code does not notice that it is aborted, or the registry does not confirm the release.
    StopFailed = "stop-failed", retryable true;
    /// The peer cannot be reached; nothing was sent.
    Unreachable = "unreachable", retryable true;
    /// The connection broke before the answer came.
    ConnectionLost = "connection-lost", retryable true;
    /// The registry did not answer, or its answer is unusable.
    Registry = "registry", retryable true;
    /// The client is closed.
    ClientClosed = "client-closed", retryable false;
    /// A failure that this version of the library does not know.
    Unknown = "unknown", retryable false;
}

/// Whether a request was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Executed {
    No,
    Maybe,
    Yes,
}

/// The error of a request: the reason that it has no reply.
///
/// Its [`source`](Error::source) is the error in this process that caused it, if there is one: of
/// the registry, a name, a message that cannot be decoded, or a connection. The text of the error
/// contains the text of that source, so print only one of them: a report that prints the whole
/// chain of sources repeats it.
///
/// Match on [`kind`](Self::kind), never on the text. Two methods decide what a caller can do:
/// [`is_retryable`](Self::is_retryable) and [`may_have_executed`](Self::may_have_executed).
#[derive(Clone)]
pub struct RequestError {
    inner: Box<RequestErrorParts>,
}

#[derive(Clone)]
struct RequestErrorParts {
    kind: RequestErrorKind,
    executed: Executed,
    text: String,
    holder: Option<Name>,
    token: Option<Token>,
    code: Option<Code>,
    detail: Option<Payload>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl RequestError {
    pub(crate) fn new(kind: RequestErrorKind, executed: Executed, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.len() > MAX_ERROR_TEXT {
            let end = (0..=MAX_ERROR_TEXT)
                .rev()
                .find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or_default());
        }
        Self {
            inner: Box::new(RequestErrorParts {
                kind,
                executed,
                text,
                holder: None,
                token: None,
                code: None,
                detail: None,
                source: None,
            }),
        }
    }

    /// An error of a request that was rejected before anything was executed.
    pub(crate) fn refused(kind: RequestErrorKind, text: impl Into<String>) -> Self {
        Self::new(kind, Executed::No, text)
    }

    pub(crate) fn unknown_name(name: &str) -> Self {
        Self::refused(
            RequestErrorKind::UnknownName,
            format!("no mailbox is registered as {name:?}"),
        )
    }

    /// No registration holds the name of a peer.
    pub(crate) fn unknown_peer(name: &Name) -> Self {
        Self::refused(
            RequestErrorKind::UnknownName,
            format!("no peer is registered as {:?}", name.as_str()),
        )
    }

    /// No registration holds the name of an actor.
    pub(crate) fn unknown_actor(name: &Name) -> Self {
        Self::refused(
            RequestErrorKind::UnknownName,
            format!("no actor runs as {:?}", name.as_str()),
        )
    }

    pub(crate) fn not_held(name: &str) -> Self {
        Self::refused(
            RequestErrorKind::NotHeld,
            format!("the peer does not hold the mailbox {:?}", shown(name)),
        )
    }

    pub(crate) fn mailbox_closed() -> Self {
        Self::refused(RequestErrorKind::MailboxClosed, "the mailbox is closed")
    }

    pub(crate) fn busy() -> Self {
        Self::refused(RequestErrorKind::Busy, "the mailbox is full")
    }

    /// A reply was lost. Not reported as busy, which a Go client takes to mean that the request was
    /// not executed.
    pub(crate) fn no_reply_room() -> Self {
        Self::new(
            RequestErrorKind::NoReply,
            Executed::Yes,
            "the request was executed, but its reply is lost: the client does not read its pending \
             replies (max_reply_bytes of the peer)",
        )
    }

    /// A reply would be lost, so the request is rejected.
    pub(crate) fn replies_not_taken() -> Self {
        Self::refused(
            RequestErrorKind::Busy,
            "the client does not read its pending replies (max_reply_bytes of the peer)",
        )
    }

    /// There is no room for the bytes of a request.
    pub(crate) fn no_request_room() -> Self {
        Self::refused(
            RequestErrorKind::Busy,
            "the peer holds as many bytes of requests as it may (max_received_bytes)",
        )
    }

    /// The bytes of a request came too slowly.
    pub(crate) fn too_slow() -> Self {
        Self::refused(
            RequestErrorKind::DeadlineExceeded,
            "the message came too slowly: less than 16 KiB in 5 s, or less than 1 MiB on its \
             connection while others waited for its room",
        )
    }

    pub(crate) fn unknown_message(wire_name: &str) -> Self {
        Self::refused(
            RequestErrorKind::UnknownMessage,
            format!(
                "the mailbox takes no messages of type {:?}",
                shown(wire_name)
            ),
        )
    }

    pub(crate) fn invalid_message(error: &DecodeError) -> Self {
        Self::refused(
            RequestErrorKind::InvalidMessage,
            format!("the message cannot be read: {error}"),
        )
        .caused_by(error.clone())
    }

    pub(crate) fn message_too_large(length: usize, limit: usize) -> Self {
        Self::refused(
            RequestErrorKind::MessageTooLarge,
            format!("the message has {length} bytes and the limit is {limit}"),
        )
    }

    pub(crate) fn no_reply(text: &str) -> Self {
        Self::new(RequestErrorKind::NoReply, Executed::Maybe, text)
    }

    pub(crate) fn invalid_name(error: &NameError) -> Self {
        Self::refused(RequestErrorKind::InvalidName, error.to_string()).caused_by(error.clone())
    }

    pub(crate) fn deadline(executed: Executed) -> Self {
        Self::new(
            RequestErrorKind::DeadlineExceeded,
            executed,
            "the deadline of the request passed",
        )
    }

    #[must_use]
    pub(crate) fn held_by(mut self, holder: Name, token: Option<Token>) -> Self {
        self.inner.holder = Some(holder);
        self.inner.token = token;
        self
    }

    /// Returns the error, raised to at least this degree of execution.
    #[must_use]
    pub(crate) fn at_least(mut self, executed: Executed) -> Self {
        self.inner.executed = self.inner.executed.max(executed);
        self
    }

    /// Returns the error for a request that provably executed nothing.
    #[must_use]
    pub(crate) fn of_nothing_executed(mut self) -> Self {
        self.inner.executed = Executed::No;
        self
    }

    #[must_use]
    pub(crate) fn of_kind(mut self, kind: RequestErrorKind) -> Self {
        self.inner.kind = kind;
        self
    }

    #[must_use]
    pub(crate) fn with_code(mut self, code: Code) -> Self {
        self.inner.code = Some(code);
        self
    }

    /// Keeps the error that caused this one as its [`source`](Error::source).
    #[must_use]
    pub(crate) fn caused_by(mut self, source: impl Into<BoxError>) -> Self {
        self.inner.source = Some(Arc::from(source.into()));
        self
    }

    #[must_use]
    pub(crate) fn with_detail(mut self, detail: Payload) -> Self {
        self.inner.detail = Some(detail);
        self
    }

    /// Returns the kind of failure.
    #[must_use]
    pub fn kind(&self) -> RequestErrorKind {
        self.inner.kind
    }

    /// Whether the same request can succeed later. This does not mean that repeating it is
    /// harmless: see [`may_have_executed`](Self::may_have_executed).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.inner.kind.is_retryable()
    }

    /// Whether the receiver may have executed the request. `false` is certain.
    #[must_use]
    pub fn may_have_executed(&self) -> bool {
        self.inner.executed != Executed::No
    }

    pub(crate) fn executed(&self) -> Executed {
        self.inner.executed
    }

    /// Returns the text, which is also what [`Display`](fmt::Display) writes.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// Returns the peer that holds the name, if the failure is that the name is taken.
    #[must_use]
    pub fn holder(&self) -> Option<&Name> {
        self.inner.holder.as_ref()
    }

    /// Returns the token of the registration that holds the name, if it is known.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.inner.token
    }

    /// Returns the code that the receiver gave its error, if the error comes from the receiver
    /// ([`RequestErrorKind::Application`]): [`Code::Unknown`] if it gave none. An error of the grid
    /// has no code; its [kind](Self::kind) is more precise.
    ///
    /// An actor on a peer of the Go library sets a code by answering with a gRPC status or with a
    /// context error.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        let own = self.inner.kind == RequestErrorKind::Application;
        own.then(|| self.inner.code.unwrap_or(Code::Unknown))
    }

    /// Returns the message that the receiver attached to its error, if it is an `M`; see
    /// [`Failure::detail`](crate::Failure::detail).
    #[must_use]
    pub fn detail<M: Message>(&self) -> Option<M> {
        self.inner.detail.as_ref()?.decode().ok()
    }

    pub(crate) fn payload(&self) -> Option<&Payload> {
        self.inner.detail.as_ref()
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.text)
    }
}

impl fmt::Debug for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestError")
            .field("kind", &self.inner.kind)
            .field("executed", &self.inner.executed)
            .field("text", &self.inner.text)
            .field("code", &self.code())
            .field("holder", &self.inner.holder)
            .field("token", &self.inner.token)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl Error for RequestError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.inner.source.as_deref()?;
        Some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stable_names::StableName as _;

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        for kind in RequestErrorKind::ALL {
            assert_eq!(RequestErrorKind::of_name(kind.as_str()), Some(*kind));
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let error = RequestError::refused(RequestErrorKind::Busy, "ü".repeat(MAX_ERROR_TEXT));
        assert_eq!(error.text().len(), MAX_ERROR_TEXT);
        let error = RequestError::refused(
            RequestErrorKind::Busy,
            format!("a{}", "ü".repeat(MAX_ERROR_TEXT)),
        );
        assert_eq!(error.text().len(), MAX_ERROR_TEXT - 1);
    }
}
