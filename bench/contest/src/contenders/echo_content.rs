//! The message of the gRPC contenders.

use bench_kit::echoed;

/// A text with the number of its request.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct EchoText {
    /// Set where several requests share a stream.
    #[prost(uint64, tag = "1")]
    pub(super) number: u64,
    /// The content.
    #[prost(string, tag = "2")]
    pub(super) text: String,
}

impl EchoText {
    pub(super) fn of(bytes: usize) -> Self {
        Self {
            number: 0,
            text: "x".repeat(bytes),
        }
    }

    /// The answer to it.
    pub(super) fn answered(mut self) -> Self {
        self.text.truncate(echoed(self.text.len()));
        self
    }
}
