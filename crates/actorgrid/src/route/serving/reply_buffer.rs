//! The bytes of a reply on their way through the HTTP/2 library.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use h2::{Reason, SendStream};

use crate::environment::Deadline;
use crate::route::budget::Charge;
use crate::route::codec::frame::Framed;

/// Some of the bytes of a reply. The HTTP/2 library drops them once they are written to the socket,
/// or once they never will be. (It drops the smallest ones earlier: once they are copied into its
/// buffer for the socket.)
pub(super) struct ReplyBuffer {
    data: Framed,
    /// Only the last part has the charge, that of the whole reply: all parts may share one block of
    /// memory, which is freed only with the last of them.
    _charge: Option<Charge>,
    _unsent: Option<Arc<()>>,
}

impl ReplyBuffer {
    /// Creates a part that is followed by others.
    pub(super) fn part(data: Framed) -> Self {
        Self {
            data,
            _charge: None,
            _unsent: None,
        }
    }

    /// Creates the last part of a message, which holds the charge of the whole message.
    pub(super) fn last(data: Framed, charge: Option<Charge>, unsent: Arc<()>) -> Self {
        Self {
            data,
            _charge: charge,
            _unsent: Some(unsent),
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

/// A reply that has been handed to the HTTP/2 library in full, but may not have reached the client
/// yet.
pub(super) struct UnsentReply {
    stream: SendStream<ReplyBuffer>,
    until: Deadline,
    /// Shared with the last part of the reply, until the library drops that part.
    sent: Arc<()>,
}

impl UnsentReply {
    pub(super) fn new(stream: SendStream<ReplyBuffer>, until: Deadline, sent: Arc<()>) -> Self {
        Self {
            stream,
            until,
            sent,
        }
    }

    /// Whether the library has dropped the last bytes of the reply.
    pub(super) fn is_sent(&self) -> bool {
        Arc::strong_count(&self.sent) == 1
    }

    /// Resets the stream of the reply if the reply's time is over. Returns whether it was over.
    pub(super) fn expire(&mut self) -> bool {
        let is_over = self.until.remaining().is_zero();
        if is_over {
            self.stream.send_reset(Reason::CANCEL);
        }
        is_over
    }
}
