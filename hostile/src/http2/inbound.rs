//! Tracks what a peer has sent on one connection, and what that allows and requires the client to
//! send.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use httlib_hpack::Decoder;

use super::frame::{FrameHead, FrameWriter, flag, kind, setting};

/// The window of a connection, and of a stream until the peer sets another one.
const FIRST_WINDOW: i64 = 65_535;

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// With an answer of this gRPC status (or this HTTP status, if there is no other) and text.
    Answered { status: u32, text: String },
    /// With a reset of this code.
    Reset(u32),
}

impl StreamEnd {
    /// Whether it is the reply that the request asked for.
    pub(crate) fn is_reply(&self) -> bool {
        matches!(self, Self::Answered { status: 0, .. })
    }

    /// Whether the peer rejected the request because a mailbox or a budget was full.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Answered { text, .. } if text == "grid: receiver busy")
    }
}

/// A stream that the client has opened.
#[derive(Debug)]
pub(crate) struct StreamRecord {
    pub(crate) opened: Instant,
    pub(crate) ended: Option<(Instant, StreamEnd)>,
    reported: bool,
    window: i64,
    status: Option<u32>,
    text: String,
}

/// The state of a connection as the client knows it.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// Whether to give back the windows of received data, as an honest client does.
    reopens: bool,
    decoder: Decoder<'static>,
    streams: HashMap<u32, StreamRecord>,
    window: i64,
    initial_window: i64,
    max_streams: usize,
    pub(crate) closed: Option<Instant>,
}

impl Inbound {
    pub(crate) fn new(reopens: bool) -> Self {
        Self {
            reopens,
            decoder: Decoder::default(),
            streams: HashMap::new(),
            window: FIRST_WINDOW,
            initial_window: FIRST_WINDOW,
            max_streams: usize::MAX,
            closed: None,
        }
    }

    /// Forgets the streams that have ended, and returns the number of the others.
    pub(crate) fn sweep(&mut self) -> usize {
        self.streams.retain(|_, record| record.ended.is_none());
        self.streams.len()
    }

    /// Returns how many of the streams that have not ended were opened longer than `bound` ago.
    /// Each is counted once.
    pub(crate) fn report_late(&mut self, now: Instant, bound: Duration) -> usize {
        let mut late = 0;
        for record in self.streams.values_mut() {
            let age = now.saturating_duration_since(record.opened);
            if record.ended.is_none() && age > bound && !record.reported {
                record.reported = true;
                late += 1;
            }
        }
        late
    }

    /// Returns the number of concurrent streams that the peer allows.
    pub(crate) fn max_streams(&self) -> usize {
        self.max_streams
    }

    pub(crate) fn open(&mut self, stream: u32, now: Instant) {
        let record = StreamRecord {
            opened: now,
            ended: None,
            reported: false,
            window: self.initial_window,
            status: None,
            text: String::new(),
        };
        self.streams.insert(stream, record);
    }

    /// Removes and returns the record of a stream, if it has ended.
    pub(crate) fn take_ended(&mut self, stream: u32) -> Option<StreamRecord> {
        self.streams.get(&stream)?.ended.as_ref()?;
        self.streams.remove(&stream)
    }

    /// Whether nothing more is to be sent on a stream.
    pub(crate) fn has_ended(&self, stream: u32) -> bool {
        self.streams
            .get(&stream)
            .is_none_or(|record| record.ended.is_some())
    }

    /// Takes up to this many bytes from the windows of the connection and of a stream.
    pub(crate) fn take_window(&mut self, stream: u32, bytes: usize) -> usize {
        let Some(record) = self.streams.get_mut(&stream) else {
            return 0;
        };
        let room = self.window.min(record.window).max(0);
        let taken = room.min(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.window -= taken;
        record.window -= taken;
        usize::try_from(taken).unwrap_or(0)
    }

    /// Takes this many bytes from the connection's window alone, if that has enough.
    pub(crate) fn take_whole(&mut self, bytes: usize) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let is_there = self.window >= bytes;
        if is_there {
            self.window -= bytes;
        }
        is_there
    }

    /// Whether the window of the connection is used up, so that nothing may be sent on any stream.
    pub(crate) fn is_blocked(&self) -> bool {
        self.window <= 0
    }

    /// Handles one frame. Frames that the client must send in return are written to `answers`.
    pub(crate) fn frame(
        &mut self,
        head: FrameHead,
        payload: &Bytes,
        now: Instant,
        answers: &mut FrameWriter,
    ) {
        match head.kind {
            kind::SETTINGS if !head.has(flag::ACK) => {
                self.settings(payload);
                answers.settings_ack();
            }
            kind::PING if !head.has(flag::ACK) => drop(answers.ping(flag::ACK, payload)),
            kind::WINDOW_UPDATE => self.grow(head.stream, payload),
            kind::HEADERS => self.headers(head, payload, now),
            kind::DATA => {
                let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                if self.reopens && bytes > 0 {
                    answers.window_update(0, bytes);
                    answers.window_update(head.stream, bytes);
                }
                if head.has(flag::END_STREAM) {
                    self.answered(head.stream, now);
                }
            }
            kind::RESET => {
                let code = payload.clone().try_get_u32().unwrap_or_default();
                self.end(head.stream, now, StreamEnd::Reset(code));
            }
            _ => {}
        }
    }

    fn settings(&mut self, payload: &Bytes) {
        for entry in payload.chunks_exact(6) {
            let (mut id, mut value) = entry.split_at(2);
            let (id, value) = (id.get_u16(), value.get_u32());
            match id {
                setting::MAX_STREAMS => self.max_streams = value as usize,
                setting::INITIAL_WINDOW => {
                    let change = i64::from(value) - self.initial_window;
                    self.initial_window = i64::from(value);
                    for stream in self.streams.values_mut() {
                        stream.window += change;
                    }
                }
                _ => {}
            }
        }
    }

    fn grow(&mut self, stream: u32, payload: &Bytes) {
        let bytes = i64::from(payload.clone().try_get_u32().unwrap_or_default());
        match self.streams.get_mut(&stream) {
            Some(record) => record.window += bytes,
            None if stream == 0 => self.window += bytes,
            None => {}
        }
    }

    fn headers(&mut self, head: FrameHead, payload: &Bytes, now: Instant) {
        // Decoded even for forgotten streams, as every block changes the decoder's table.
        let mut headers = Vec::new();
        let unreadable = self
            .decoder
            .decode(&mut payload.to_vec(), &mut headers)
            .is_err();
        debug_assert!(!unreadable, "the peer sent an unreadable header block");
        if let Some(record) = self.streams.get_mut(&head.stream) {
            for (name, value, _) in headers {
                let value = String::from_utf8_lossy(&value);
                match &name[..] {
                    b"grpc-status" => record.status = value.parse().ok(),
                    b":status" if value != "200" => record.status = value.parse().ok(),
                    b"grpc-message" => record.text = percent_decoded(&value),
                    _ => {}
                }
            }
        }
        if head.has(flag::END_STREAM) {
            self.answered(head.stream, now);
        }
    }

    fn answered(&mut self, stream: u32, now: Instant) {
        if let Some(record) = self.streams.get_mut(&stream) {
            let status = record.status.unwrap_or(u32::MAX);
            let text = std::mem::take(&mut record.text);
            self.end(stream, now, StreamEnd::Answered { status, text });
        }
    }

    /// The first end counts: a reset after the answer only means that no more is read.
    fn end(&mut self, stream: u32, now: Instant, end: StreamEnd) {
        if let Some(record) = self.streams.get_mut(&stream)
            && record.ended.is_none()
        {
            record.ended = Some((now, end));
        }
    }
}

/// Decodes the text of an error, which travels percent-encoded.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let code = part.get(..2).map(|code| u8::from_str_radix(code, 16));
        match code {
            Some(Ok(byte)) => {
                bytes.push(byte);
                bytes.extend(&part.as_bytes()[2..]);
            }
            // Not a valid code, so kept as it is.
            _ => bytes.extend(part.as_bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::HeaderBlock;

    struct Bench {
        inbound: Inbound,
        answers: FrameWriter,
    }

    impl Bench {
        fn new() -> Self {
            let mut inbound = Inbound::new(true);
            inbound.open(1, Instant::now());
            Self {
                inbound,
                answers: FrameWriter::default(),
            }
        }

        fn come(&mut self, write: impl FnOnce(&mut FrameWriter) -> &mut FrameWriter) -> Bytes {
            let mut frames = FrameWriter::default();
            write(&mut frames);
            let mut bytes = bytes::BytesMut::from(&frames.take()[..]);
            while let Some((head, payload)) = FrameHead::read(&mut bytes) {
                let answers = &mut self.answers;
                self.inbound.frame(head, &payload, Instant::now(), answers);
            }
            self.answers.take()
        }

        fn end(&mut self) -> StreamEnd {
            self.inbound.take_ended(1).unwrap().ended.unwrap().1
        }
    }

    #[test]
    fn windows_limit_what_is_sent() {
        let mut bench = Bench::new();
        assert_eq!(bench.inbound.take_window(1, 60_000), 60_000);
        assert_eq!(bench.inbound.take_window(1, 60_000), 5_535);
        assert!(bench.inbound.is_blocked());
        bench.come(|frames| frames.window_update(1, 100));
        assert_eq!(bench.inbound.take_window(1, 60_000), 0);
        bench.come(|frames| frames.window_update(0, 1_000));
        assert!(!bench.inbound.take_whole(1_001));
        assert!(!bench.inbound.is_blocked());
        assert_eq!(bench.inbound.take_window(1, 60_000), 100);
        bench.come(|frames| frames.settings(&[(setting::INITIAL_WINDOW, 65_635)]));
        assert_eq!(bench.inbound.take_window(1, 60_000), 100);
    }

    #[test]
    fn pings_settings_and_data_are_answered() {
        let mut bench = Bench::new();
        let answer = bench.come(|frames| frames.ping(0, b"12345678"));
        assert_eq!(
            answer,
            FrameWriter::default().ping(flag::ACK, b"12345678").take()
        );
        let answer = bench.come(|frames| frames.settings(&[(setting::MAX_STREAMS, 9)]));
        assert_eq!(answer, FrameWriter::default().settings_ack().take());
        assert_eq!(bench.inbound.max_streams(), 9);
        let answer = bench.come(|frames| frames.data(1, b"abc", 0));
        let mut expected = FrameWriter::default();
        expected.window_update(0, 3).window_update(1, 3);
        assert_eq!(answer, expected.take());
    }

    #[test]
    fn texts_are_decoded() {
        assert_eq!(percent_decoded("grid:%20unknown%C3%BC"), "grid: unknownü");
        assert_eq!(percent_decoded("plain"), "plain");
        assert_eq!(percent_decoded("%zz%"), "zz");
    }

    #[test]
    fn a_late_stream_is_reported_once() {
        let mut bench = Bench::new();
        let later = Instant::now() + Duration::from_secs(2);
        let bound = Duration::from_secs(1);
        assert_eq!(bench.inbound.report_late(Instant::now(), bound), 0);
        assert_eq!(bench.inbound.report_late(later, bound), 1);
        assert_eq!(bench.inbound.report_late(later, bound), 0);
        assert_eq!(bench.inbound.sweep(), 1);
        bench.come(|frames| frames.reset(1));
        assert_eq!(bench.inbound.sweep(), 0);
    }

    #[test]
    fn ends_are_distinguished() {
        let mut bench = Bench::new();
        let mut busy = HeaderBlock::default();
        busy.literal(":status", b"200")
            .literal("grpc-status", b"2")
            .literal("grpc-message", b"grid:%20receiver%20busy");
        let busy = busy.take();
        bench.come(|frames| frames.headers(1, &busy, flag::END_STREAM).reset(1));
        assert!(bench.end().is_busy());
        assert!(bench.inbound.has_ended(1));

        let mut bench = Bench::new();
        let (mut first, mut last) = (HeaderBlock::default(), HeaderBlock::default());
        first.literal(":status", b"200");
        last.literal("grpc-status", b"0");
        bench.come(|frames| frames.headers(1, &first.take(), 0).data(1, b"reply", 0));
        assert!(!bench.inbound.has_ended(1));
        bench.come(|frames| frames.headers(1, &last.take(), flag::END_STREAM));
        assert!(bench.end().is_reply());

        let mut bench = Bench::new();
        bench.come(|frames| frames.reset(1));
        assert_eq!(bench.end(), StreamEnd::Reset(8));
    }
}
