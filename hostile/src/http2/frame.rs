//! Frames as bytes: written one after the other, and read from received bytes.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// The bytes with which a client begins.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The length of the head of each frame.
const HEAD_BYTES: usize = 9;

/// The kinds of frames.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RESET: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// The flags of frames.
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
}

/// The settings.
pub(crate) mod setting {
    pub(crate) const MAX_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW: u16 = 4;
    pub(crate) const MAX_FRAME_BYTES: u16 = 5;
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl FrameHead {
    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Removes the first frame from the received bytes, if it is complete.
    pub(crate) fn read(bytes: &mut BytesMut) -> Option<(Self, Bytes)> {
        let mut head = bytes.get(..HEAD_BYTES)?;
        // Three bytes of length and one of kind.
        let length_and_kind = head.get_u32();
        let length = (length_and_kind >> 8) as usize;
        let [.., kind] = length_and_kind.to_be_bytes();
        let flags = head.get_u8();
        let stream = head.get_u32() & 0x7fff_ffff;
        if bytes.len() < HEAD_BYTES + length {
            return None;
        }
        bytes.advance(HEAD_BYTES);
        let head = Self {
            kind,
            flags,
            stream,
        };
        Some((head, bytes.split_to(length).freeze()))
    }
}

/// Writes frames one after the other.
#[derive(Debug, Default)]
pub(crate) struct FrameWriter {
    bytes: BytesMut,
}

impl FrameWriter {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns what was written, and leaves nothing behind.
    pub(crate) fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    /// Writes bytes that are not a frame.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.put_slice(bytes);
        self
    }

    /// Writes a frame of any kind.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        self.lying_frame(payload.len(), kind, flags, stream, payload)
    }

    /// Writes a frame whose head states a wrong length.
    pub(crate) fn lying_frame(
        &mut self,
        length: usize,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> &mut Self {
        self.bytes.reserve(HEAD_BYTES + payload.len());
        self.bytes.put_uint(length as u64, 3);
        self.bytes.put_u8(kind);
        self.bytes.put_u8(flags);
        self.bytes.put_u32(stream);
        self.raw(payload)
    }

    pub(crate) fn settings(&mut self, settings: &[(u16, u32)]) -> &mut Self {
        let mut payload = Vec::with_capacity(6 * settings.len());
        for (setting, value) in settings {
            payload.put_u16(*setting);
            payload.put_u32(*value);
        }
        self.frame(kind::SETTINGS, 0, 0, &payload)
    }

    pub(crate) fn settings_ack(&mut self) -> &mut Self {
        self.frame(kind::SETTINGS, flag::ACK, 0, &[])
    }

    pub(crate) fn ping(&mut self, flags: u8, payload: &[u8]) -> &mut Self {
        self.frame(kind::PING, flags, 0, payload)
    }

    pub(crate) fn window_update(&mut self, stream: u32, bytes: u32) -> &mut Self {
        self.frame(kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
    }

    /// Writes a complete header block.
    pub(crate) fn headers(&mut self, stream: u32, block: &[u8], flags: u8) -> &mut Self {
        self.frame(kind::HEADERS, flags | flag::END_HEADERS, stream, block)
    }

    pub(crate) fn data(&mut self, stream: u32, bytes: &[u8], flags: u8) -> &mut Self {
        self.frame(kind::DATA, flags, stream, bytes)
    }

    pub(crate) fn reset(&mut self, stream: u32) -> &mut Self {
        const CANCEL: u32 = 8;
        self.frame(kind::RESET, 0, stream, &CANCEL.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_what_the_standard_says() {
        let mut frames = FrameWriter::default();
        frames.settings(&[(setting::INITIAL_WINDOW, 65_535)]);
        assert_eq!(
            &frames.take()[..],
            [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0xff, 0xff]
        );
        frames.window_update(3, 0x0102_0304);
        assert_eq!(&frames.take()[..], [0, 0, 4, 8, 0, 0, 0, 0, 3, 1, 2, 3, 4]);
        frames.reset(5);
        assert_eq!(&frames.take()[..], [0, 0, 4, 3, 0, 0, 0, 0, 5, 0, 0, 0, 8]);
        assert_eq!(frames.len(), 0);
    }

    #[test]
    fn a_frame_is_read_once_it_is_there_as_a_whole() {
        let mut frames = FrameWriter::default();
        frames
            .data(7, b"some data", flag::END_STREAM)
            .ping(0, &[1; 8]);
        let written = frames.take();
        let mut come = BytesMut::new();
        let mut read = Vec::new();
        for byte in &written {
            come.put_u8(*byte);
            read.extend(FrameHead::read(&mut come));
        }
        assert!(come.is_empty());
        let [(data, payload), (ping, _)] = &read[..] else {
            panic!("{read:?}");
        };
        assert_eq!((data.kind, data.stream), (kind::DATA, 7));
        assert!(data.has(flag::END_STREAM));
        assert_eq!(payload, "some data");
        assert_eq!((ping.kind, ping.stream), (kind::PING, 0));
    }

    #[test]
    fn a_frame_can_lie_about_its_length() {
        let mut frames = FrameWriter::default();
        frames.lying_frame(0x0001_0002, kind::DATA, 0, 1, b"x");
        assert_eq!(&frames.take()[..], [1, 0, 2, 0, 0, 0, 0, 0, 1, b'x']);
    }
}
