//! The HTTP headers of a request: its metadata as bytes.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE, USER_AGENT};
use prost::Message as _;
use tonic::metadata::{BinaryMetadataValue, MetadataMap, MetadataValue};

use crate::environment::{Deadline, Environment};
use crate::registry::Capabilities;
use crate::route::caller::Caller;
use crate::route::headers::Headers;
use crate::route::meta::{Meta, RequestId};
use crate::wire::detail::{Header, HeaderList};

const TOKEN_KEY: &str = "grid-token-bin";
const REQUEST_ID_KEY: &str = "grid-request-id-bin";
const HEADERS_KEY: &str = "grid-headers-bin";
/// The headers of W3C Trace Context and Baggage. The first of each travels as plain metadata, under
/// its own name, so that peers with OpenTelemetry for gRPC read and write the same ones.
const PLAIN: [&str; 3] = ["traceparent", "tracestate", "baggage"];
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The deadline of a request that states none. A Go client always states one.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);

/// The HTTP headers of a request.
pub(crate) fn write(meta: &Meta) -> HeaderMap {
    let mut metadata = MetadataMap::with_capacity(12);
    metadata.insert_bin(
        REQUEST_ID_KEY,
        MetadataValue::from_bytes(&meta.id.0.to_be_bytes()),
    );
    if let Some(token) = meta.token {
        let text = token.to_string();
        metadata.insert_bin(TOKEN_KEY, MetadataValue::from_bytes(text.as_bytes()));
    }
    let mut plain = PlainHeaders::default();
    if !meta.headers.is_empty() {
        let headers = meta
            .headers
            .iter()
            .filter(|(name, value)| !plain.take(name, value))
            .map(|(name, value)| Header {
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .collect();
        let list = HeaderList { headers };
        if !list.headers.is_empty() {
            metadata.insert_bin(
                HEADERS_KEY,
                MetadataValue::from_bytes(&list.encode_to_vec()),
            );
        }
    }
    let mut headers = metadata.into_headers();
    plain.put(&mut headers);
    put_basics(&mut headers, Some(meta.deadline.remaining()));
    headers
}

/// The headers that travel as plain metadata, by their place in [`PLAIN`].
#[derive(Default)]
struct PlainHeaders([Option<HeaderValue>; PLAIN.len()]);

impl PlainHeaders {
    /// Takes a header that can travel as plain metadata. False: it travels in the list.
    ///
    /// Plain metadata is printable ASCII, in gRPC and in HTTP libraries that read it as text. A
    /// header value here may hold more bytes, but the receiver would drop it.
    fn take(&mut self, name: &str, value: &str) -> bool {
        let Some(place) = PLAIN.iter().position(|plain| *plain == name) else {
            return false;
        };
        // Spaces around a value are not part of it for every HTTP library.
        let is_plain = value.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
        if self.0[place].is_some() || !is_plain || value.trim() != value {
            return false;
        }
        self.0[place] = HeaderValue::from_str(value).ok();
        self.0[place].is_some()
    }

    fn put(self, headers: &mut HeaderMap) {
        for (name, value) in PLAIN.into_iter().zip(self.0) {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }
}

/// Adds the headers that every call has, and its time if that is bounded.
pub(crate) fn put_basics(headers: &mut HeaderMap, time: Option<Duration>) {
    if let Some(time) = time {
        headers.insert(TIMEOUT, timeout(time));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static("actorgrid"));
}

/// At most 8 digits and a unit. Rounded up: the caller's own timer is the one that decides.
fn timeout(left: Duration) -> HeaderValue {
    let micros = left.as_micros() + 1;
    let text = if micros < 100_000_000 {
        format!("{micros}u")
    } else {
        format!("{}m", (micros / 1000 + 1).min(99_999_999))
    };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("1S"))
}

/// The header that states a request's time does not hold a time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidTimeout;

/// The time that the headers of a request state, if they do.
pub(crate) fn time(headers: &HeaderMap) -> Result<Option<Duration>, InvalidTimeout> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    read_timeout(value.as_bytes())
        .map(Some)
        .ok_or(InvalidTimeout)
}

/// Reads the HTTP headers of a request that states this [`time`]. The deadline and the id that a Go
/// client does not send are made up; a header that cannot be read is left out.
pub(crate) fn read(
    headers: HeaderMap,
    time: Option<Duration>,
    caller: Caller,
    environment: &Environment,
) -> Meta {
    let time = time.unwrap_or(DEFAULT_DEADLINE);
    let mut texts = Headers::default();
    for name in PLAIN {
        match headers.get(name).map(HeaderValue::to_str) {
            Some(Ok(value)) => add_received(&mut texts, name, value),
            Some(Err(_)) => log_dropped(name),
            None => {}
        }
    }
    let metadata = MetadataMap::from_headers(headers);
    let bytes = |key| {
        let value: Option<&BinaryMetadataValue> = metadata.get_bin(key);
        value.and_then(|value| value.to_bytes().ok())
    };
    if let Some(list) = bytes(HEADERS_KEY).and_then(|list| HeaderList::decode(list).ok()) {
        for header in list.headers {
            add_received(&mut texts, &header.name, &header.value);
        }
    }
    let id = bytes(REQUEST_ID_KEY)
        .and_then(|id| id.as_ref().try_into().ok())
        .map_or_else(
            || u128::from(environment.random_u64()) << 64 | u128::from(environment.random_u64()),
            u128::from_be_bytes,
        );
    let token = bytes(TOKEN_KEY).and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
    Meta {
        id: RequestId(id),
        deadline: Deadline::after(time),
        token,
        headers: texts,
        caller,
    }
}

/// Adds a header that was received; one that is not valid, or has no room, is left out.
fn add_received(headers: &mut Headers, name: &str, value: &str) {
    if headers.add(name, value).is_err() {
        log_dropped(name);
    }
}

/// The name alone: the value may be confidential.
fn log_dropped(name: &str) {
    tracing::debug!(name, "dropped a header of a request");
}

/// The abilities of the client that sent these headers. Only ours send a request id.
pub(crate) fn capabilities(headers: &HeaderMap) -> Capabilities {
    Capabilities::of(headers.contains_key(REQUEST_ID_KEY))
}

fn read_timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'n' => Duration::from_nanos(number),
        b'u' => Duration::from_micros(number),
        b'm' => Duration::from_millis(number),
        b'S' => Duration::from_secs(number),
        b'M' => Duration::from_secs(number * 60),
        b'H' => Duration::from_secs(number * 3600),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::MAX_DEADLINE;
    use crate::route::headers::{MAX_HEADER_BYTES, MAX_HEADERS};

    fn meta(headers: &[(&str, &str)]) -> Meta {
        let mut texts = Headers::default();
        for (name, value) in headers {
            texts.add(name, value).unwrap();
        }
        Meta {
            id: RequestId(7 << 64 | 9),
            deadline: Deadline::after(Duration::from_secs(5)),
            token: Some("2a:17".parse().unwrap()),
            headers: texts,
            caller: Caller::local(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn comes_back_as_it_was_written() {
        let environment = Environment::real();
        let sent = meta(&[
            ("a", "naïve\n"),
            ("baggage", "user=ann,plan=free"),
            ("traceparent", "00-1"),
            ("traceparent", "x"),
            ("tracestate", "a=1,b=2"),
            ("baggage", "later=1"),
        ]);
        let headers = write(&sent);
        assert_eq!(headers["traceparent"], "00-1");
        assert_eq!(headers["tracestate"], "a=1,b=2");
        assert_eq!(headers["baggage"], "user=ann,plan=free");
        let stated = time(&headers).unwrap();
        let read = read(headers, stated, Caller::local(), &environment);
        assert_eq!((read.id, read.token), (sent.id, sent.token));
        let texts: Vec<_> = read.headers.iter().collect();
        assert_eq!(
            texts,
            [
                ("traceparent", "00-1"),
                ("tracestate", "a=1,b=2"),
                ("baggage", "user=ann,plan=free"),
                ("a", "naïve\n"),
                ("traceparent", "x"),
                ("baggage", "later=1"),
            ]
        );
        let difference = read
            .deadline
            .remaining()
            .abs_diff(sent.deadline.remaining());
        assert!(difference < Duration::from_millis(2), "{difference:?}");
    }

    /// An HTTP header may hold more bytes than the receiver reads as text.
    #[tokio::test(start_paused = true)]
    async fn values_that_are_no_plain_text_come_back_whole() {
        let texts = [
            ("baggage", "user=Jürgen"),
            ("tracestate", "a\tb"),
            ("traceparent", "00-1\u{7f}"),
        ];
        let sent = meta(&texts);
        let headers = write(&sent);
        for name in PLAIN {
            assert!(!headers.contains_key(name), "{name}");
        }
        let read = read(headers, None, Caller::local(), &Environment::real());
        assert_eq!(read.headers.iter().collect::<Vec<_>>(), texts);
    }

    #[tokio::test(start_paused = true)]
    async fn headers_over_the_limit_are_dropped_and_the_others_arrive() {
        let large = "v".repeat(MAX_HEADER_BYTES);
        let texts = [("a", "first"), ("b", &*large), ("c", "last")];
        let list = HeaderList {
            headers: texts
                .map(|(name, value)| Header {
                    name: name.to_owned(),
                    value: value.to_owned(),
                })
                .into(),
        };
        let mut metadata = MetadataMap::new();
        let list = MetadataValue::from_bytes(&list.encode_to_vec());
        metadata.insert_bin(HEADERS_KEY, list);
        let headers = metadata.into_headers();
        let read = read(headers, None, Caller::local(), &Environment::real());
        let read: Vec<_> = read.headers.iter().collect();
        assert_eq!(read, [("a", "first"), ("c", "last")]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_for_what_is_not_there() {
        let mut bare = meta(&[]);
        bare.token = None;
        let headers = write(&bare);
        assert!(!headers.contains_key(HEADERS_KEY));
        assert!(!headers.contains_key(TOKEN_KEY));
        assert_eq!(time(&HeaderMap::new()), Ok(None));
        let read = read(
            HeaderMap::new(),
            None,
            Caller::local(),
            &Environment::real(),
        );
        assert_eq!(read.deadline.remaining(), DEFAULT_DEADLINE);
        assert_eq!(read.token, None);
    }

    #[test]
    fn a_time_is_read_strictly_and_written_so_that_it_can_be_read() {
        for text in [
            "",
            "1",
            "S",
            "-1S",
            "+1S",
            "1s",
            "123456789S",
            "1 S",
            "1.5S",
        ] {
            assert_eq!(read_timeout(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read_timeout(b"250m"), Some(Duration::from_millis(250)));
        assert_eq!(
            read_timeout(b"99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        for left in [
            Duration::ZERO,
            Duration::from_millis(1),
            Duration::from_secs(99),
            Duration::from_secs(100),
            MAX_DEADLINE,
        ] {
            let read = read_timeout(timeout(left).as_bytes()).unwrap();
            assert!(
                read >= left && read - left < Duration::from_millis(2),
                "{left:?} {read:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_headers_fit_into_what_a_peer_takes() {
        let value = "v".repeat(MAX_HEADER_BYTES / MAX_HEADERS - 1);
        let large = "v".repeat(MAX_HEADER_BYTES - MAX_HEADERS);
        let mut uneven = vec![("a", ""); MAX_HEADERS - 1];
        uneven.push(("a", &large));
        for headers in [vec![("a", &*value); MAX_HEADERS], uneven] {
            // The path and the host, of 1 KiB at most, come on top.
            let bytes: usize = write(&meta(&headers))
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len() + 32)
                .sum();
            assert!(bytes < 14 * 1024 + 512, "{bytes}");
        }
    }
}
