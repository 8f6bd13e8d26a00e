//! The message of the gRPC contenders.

use bench_kit::echoed;
use bytes::Bytes;

/// Bytes with the number of their request.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct EchoContent {
    /// Set where several requests share a stream.
    #[prost(uint64, tag = "1")]
    pub(super) number: u64,
    /// The content.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) content: Bytes,
}

impl EchoContent {
    pub(super) fn of(bytes: usize) -> Self {
        Self {
            number: 0,
            content: Bytes::from(vec![b'x'; bytes]),
        }
    }

    /// The answer to it.
    pub(super) fn answered(mut self) -> Self {
        self.content.truncate(echoed(self.content.len()));
        self
    }
}
