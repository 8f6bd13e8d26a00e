//! The calling side of a contender.

/// Any error of a contender.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A longer message is answered with an empty one: what is measured is that it does not hold up
/// others, in one direction.
const LONGEST_ECHO: usize = 1 << 20;

/// The length of the answer to a message of `bytes` bytes.
#[must_use]
pub fn echoed(bytes: usize) -> usize {
    if bytes > LONGEST_ECHO { 0 } else { bytes }
}

/// Sends requests of one contender. Clones share its connection.
pub trait Caller: Clone + Send + Sync + 'static {
    /// A request, ready to be encoded.
    type Message: Send + Sync + 'static;

    /// A message with a content of `bytes` bytes.
    fn message(&self, bytes: usize) -> Self::Message;

    /// Sends a copy of the message and returns the length of the answer's content.
    fn call(&self, message: &Self::Message)
    -> impl Future<Output = Result<usize, BoxError>> + Send;
}
