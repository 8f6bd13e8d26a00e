//! Replies that are so short that they need no memory of their own.

use crate::route::link::MAX_PLAIN_BYTES;

/// The longest reply that a call takes in its place. Most replies are shorter than this; the places
/// of all calls of a link together have 9 MB of it at most.
const SHORT_REPLY_BYTES: usize = MAX_PLAIN_BYTES;

/// The bytes of a short reply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShortReply {
    length: usize,
    bytes: [u8; SHORT_REPLY_BYTES],
}

impl ShortReply {
    pub(crate) const EMPTY: Self = Self {
        length: 0,
        bytes: [0; SHORT_REPLY_BYTES],
    };

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Takes these bytes, of which there are at most [`SHORT_REPLY_BYTES`].
    pub(super) fn set(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
            self.length = bytes.len();
        }
    }
}

/// The short replies of the calls of a link, by the places of the calls.
#[derive(Debug, Default)]
pub(super) struct ShortReplies(Vec<ShortReply>);

impl ShortReplies {
    pub(super) fn put(&mut self, place: u32, bytes: &[u8]) {
        let Ok(place) = usize::try_from(place) else {
            return;
        };
        if self.0.len() <= place {
            self.0.resize(place + 1, ShortReply::EMPTY);
        }
        if let Some(reply) = self.0.get_mut(place) {
            reply.set(bytes);
        }
    }

    pub(super) fn get(&self, place: u32) -> &[u8] {
        let place = usize::try_from(place).ok();
        let reply = place.and_then(|place| self.0.get(place));
        reply.map_or(&[], ShortReply::bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_own_bytes() {
        let mut replies = ShortReplies::default();
        replies.put(3, &[7; SHORT_REPLY_BYTES]);
        replies.put(1, b"one");
        assert_eq!(replies.get(1), b"one");
        assert_eq!(replies.get(3), [7; SHORT_REPLY_BYTES]);
        replies.put(3, b"");
        assert_eq!(replies.get(3), b"");
        assert_eq!(replies.get(9), b"");
    }
}
