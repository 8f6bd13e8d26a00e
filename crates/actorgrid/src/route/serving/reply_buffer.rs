//! The bytes of a reply on their way through the HTTP/2 library.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use h2::{Reason, SendStream};

use crate::environment::Deadline;
use crate::route::budget::Charge;
use crate::route::codec::frame::Framed;

/// Some bytes of a reply. The library drops them once they are written to the socket, or will never
/// be (the smallest ones once they are in its buffer for the socket).
pub(super) struct ReplyBuffer {
    data: Framed,
    /// The last bytes hold the charge of the whole reply: earlier ones may keep all of its memory
    /// alive.
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

/// A reply that is completely handed to the HTTP/2 library, and may not have reached the client.
pub(super) struct UnsentReply {
    stream: SendStream<ReplyBuffer>,
    until: Deadline,
    /// Shared with the last bytes.
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

    /// Whether its last bytes have left the library.
    pub(super) fn is_sent(&self) -> bool {
        Arc::strong_count(&self.sent) == 1
    }

    /// Resets the reply if its time is over. Returns whether it did.
    pub(super) fn expire(&mut self) -> bool {
        let is_over = self.until.remaining().is_zero();
        if is_over {
            self.stream.send_reset(Reason::CANCEL);
        }
        is_over
    }
}
