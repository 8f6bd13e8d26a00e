//! Reads gRPC-framed messages, and the few fields of watch replies that rules need.

use bytes::{Buf as _, Bytes, BytesMut};

/// The flag and the length that precede each message.
const PREFIX_BYTES: usize = 5;

/// Extracts the messages from the bytes of one direction of a call.
#[derive(Default)]
pub(super) struct Frames(BytesMut);

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Returns the next complete message, with its prefix.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let length = self.0.get(1..PREFIX_BYTES)?.get_u32() as usize;
        let whole = PREFIX_BYTES + length;
        (self.0.len() >= whole).then(|| self.0.split_to(whole).freeze())
    }
}

/// Returns the message without its prefix.
pub(super) fn message(frame: &[u8]) -> &[u8] {
    frame.get(PREFIX_BYTES..).unwrap_or_default()
}

/// Field numbers of etcd's `WatchResponse`.
const CREATED: u64 = 3;
const EVENTS: u64 = 11;

pub(super) fn has_created_flag(message: &[u8]) -> bool {
    fields(message).any(|field| field == (CREATED, 1))
}

pub(super) fn has_events(message: &[u8]) -> bool {
    fields(message).any(|(number, _)| number == EVENTS)
}

/// Iterates over the fields of a message: their numbers, and their values or lengths.
fn fields(mut message: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    std::iter::from_fn(move || {
        let key = varint(&mut message)?;
        let value = match key & 7 {
            0 => varint(&mut message)?,
            1 => skip(&mut message, 8)?,
            2 => {
                let length = varint(&mut message)?;
                skip(&mut message, length)?
            }
            5 => skip(&mut message, 4)?,
            _ => return None,
        };
        Some((key >> 3, value))
    })
}

fn skip(message: &mut &[u8], length: u64) -> Option<u64> {
    let count = usize::try_from(length).ok()?;
    *message = message.get(count..)?;
    Some(length)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_out_as_they_become_whole() {
        let mut frames = Frames::default();
        frames.push(&[0, 0, 0, 0, 2, 7]);
        assert_eq!(frames.next(), None);
        frames.push(&[8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(frames.next().as_deref(), Some(&[0, 0, 0, 0, 2, 7, 8][..]));
        assert_eq!(message(&frames.next().unwrap()), [0; 0]);
        assert_eq!(frames.next(), None);
    }

    #[test]
    fn a_watch_response_shows_what_it_is() {
        let created = [0x0a, 2, 0x18, 9, 0x18, 1];
        let event = [0x0a, 2, 0x18, 9, 0x5a, 1, 0];
        assert!(has_created_flag(&created) && !has_events(&created));
        assert!(has_events(&event) && !has_created_flag(&event));
        assert!(
            !has_events(&event[..5]),
            "a truncated message has no events"
        );
    }
}
