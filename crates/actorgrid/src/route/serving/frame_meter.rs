//! Follows the frames of a connection, and weighs those that carry no message. Pure.

/// The length of the preface that begins every HTTP/2 connection.
pub(super) const PREFACE_BYTES: usize = 24;
/// The length of the header of each frame.
const HEADER_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

/// Bit 0 of the flags: the end of a stream, for data; an acknowledgement, for settings and pings.
const END_OR_ACK: u8 = 1;

/// The weight of a frame that has a small cost, such as a reset or a ping.
const USUAL_WEIGHT: u32 = 4;
/// A reader of large replies sends one every few kilobytes.
const WINDOW_UPDATE_WEIGHT: u32 = 1;
/// Settings can change the window of every open stream.
const STREAMS_PER_SETTINGS_WEIGHT: u32 = 4;

/// The frames that were seen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct SeenFrames {
    /// Requests that began.
    pub(super) requests: u32,
    /// The weight of frames that carry neither a message nor the beginning of a request.
    pub(super) weight: u32,
}

/// Follows the frames of one connection, however its bytes are split.
#[derive(Debug)]
pub(super) struct FrameMeter {
    preface_left: usize,
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    payload_left: usize,
}

impl FrameMeter {
    pub(super) const fn new() -> Self {
        Self {
            preface_left: PREFACE_BYTES,
            header: [0; HEADER_BYTES],
            header_bytes: 0,
            payload_left: 0,
        }
    }

    /// Whether the whole preface has arrived.
    pub(super) const fn has_preface(&self) -> bool {
        self.preface_left == 0
    }

    /// Scans the next bytes of a connection with this many open streams.
    pub(super) fn scan(&mut self, mut bytes: &[u8], open_streams: usize) -> SeenFrames {
        let mut seen = SeenFrames::default();
        bytes = skip(&mut self.preface_left, bytes);
        while !bytes.is_empty() {
            bytes = skip(&mut self.payload_left, bytes);
            let missing = HEADER_BYTES - self.header_bytes;
            let (header, rest) = bytes.split_at(missing.min(bytes.len()));
            self.header[self.header_bytes..][..header.len()].copy_from_slice(header);
            self.header_bytes += header.len();
            bytes = rest;
            if self.header_bytes == HEADER_BYTES {
                self.header_bytes = 0;
                self.frame(open_streams, &mut seen);
            }
        }
        seen
    }

    /// Handles the beginning of a frame.
    fn frame(&mut self, open_streams: usize, seen: &mut SeenFrames) {
        let [high, middle, low, kind, flags, ..] = self.header;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.payload_left = length;
        let ends = flags & END_OR_ACK != 0;
        seen.weight += match kind {
            DATA if length > 0 || ends => 0,
            HEADERS => {
                seen.requests += 1;
                0
            }
            SETTINGS | PING if ends => 0,
            SETTINGS => {
                let streams = u32::try_from(open_streams).unwrap_or(u32::MAX);
                USUAL_WEIGHT + streams / STREAMS_PER_SETTINGS_WEIGHT
            }
            WINDOW_UPDATE => WINDOW_UPDATE_WEIGHT,
            _ => USUAL_WEIGHT,
        };
    }
}

/// Skips up to `left` bytes, and returns the bytes after them.
fn skip<'a>(left: &mut usize, bytes: &'a [u8]) -> &'a [u8] {
    let skipped = (*left).min(bytes.len());
    *left -= skipped;
    &bytes[skipped..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONTINUATION: u8 = 9;
    const RST_STREAM: u8 = 3;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let length_bytes = u32::try_from(length).unwrap().to_be_bytes();
        let mut frame = length_bytes[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        // Payloads look like frames of the costliest kind.
        frame.extend(std::iter::repeat_n(SETTINGS, length));
        frame
    }

    fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
        [vec![0xff; PREFACE_BYTES], frames.concat()].concat()
    }

    fn seen(frames: &[Vec<u8>], open_streams: usize) -> (u32, u32) {
        let mut meter = FrameMeter::new();
        let seen = meter.scan(&connection(frames), open_streams);
        assert!(meter.has_preface());
        (seen.requests, seen.weight)
    }

    #[test]
    fn messages_and_beginnings_of_requests_weigh_nothing() {
        let frames = [
            frame(HEADERS, 4, 50),
            frame(DATA, 0, 1),
            frame(DATA, 0, 16_384),
            frame(DATA, 1, 0),
            frame(SETTINGS, 1, 0),
            frame(PING, 1, 8),
        ];
        assert_eq!(seen(&frames, 1_000), (1, 0));
    }

    #[test]
    fn all_other_frames_weigh() {
        assert_eq!(seen(&[frame(DATA, 0, 0)], 0), (0, 4));
        assert_eq!(seen(&[frame(PING, 0, 8)], 0), (0, 4));
        assert_eq!(seen(&[frame(RST_STREAM, 0, 4)], 0), (0, 4));
        assert_eq!(seen(&[frame(CONTINUATION, 0, 9)], 0), (0, 4));
        assert_eq!(seen(&[frame(0xee, 0, 9)], 0), (0, 4));
        assert_eq!(seen(&[frame(WINDOW_UPDATE, 0, 4)], 0), (0, 1));
    }

    #[test]
    fn settings_weigh_by_the_streams_whose_windows_they_change() {
        assert_eq!(seen(&[frame(SETTINGS, 0, 6)], 0), (0, 4));
        assert_eq!(seen(&[frame(SETTINGS, 0, 6)], 1_000), (0, 254));
    }

    proptest! {
        #[test]
        fn the_parts_in_which_bytes_come_make_no_difference(
            kinds in prop::collection::vec((0..12_u8, 0..6_u8, 0..40_usize), 0..20),
            cuts in prop::collection::vec(1..30_usize, 1..20),
        ) {
            let frames: Vec<_> = kinds
                .iter()
                .map(|(kind, flags, length)| frame(*kind, *flags, *length))
                .collect();
            let whole = seen(&frames, 8);
            let bytes = connection(&frames);
            let mut meter = FrameMeter::new();
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            let mut parts = (0, 0);
            while !rest.is_empty() {
                let (part, behind) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                let seen = meter.scan(part, 8);
                parts = (parts.0 + seen.requests, parts.1 + seen.weight);
                rest = behind;
            }
            prop_assert_eq!(parts, whole);
        }
    }
}
