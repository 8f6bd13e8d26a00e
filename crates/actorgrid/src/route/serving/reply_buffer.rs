//! The bytes of a reply on their way through the HTTP/2 library.

use bytes::{Buf, Bytes};
use tokio::sync::oneshot;

use crate::route::budget::Charge;
use crate::route::codec::frame::Framed;

/// Some bytes of a reply. The library drops it when they are written to the socket, or will never
/// be: until then they are charged.
pub(super) struct ReplyBuffer {
    data: Framed,
    _charge: Option<Charge>,
    /// Dropped with the last bytes of a reply that somebody watches.
    _sent: Option<oneshot::Sender<()>>,
}

impl ReplyBuffer {
    pub(super) fn new(
        data: Framed,
        charge: Option<Charge>,
        sent: Option<oneshot::Sender<()>>,
    ) -> Self {
        Self {
            data,
            _charge: charge,
            _sent: sent,
        }
    }
}

impl Buf for ReplyBuffer {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(slices)
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.data.copy_to_bytes(length)
    }
}
