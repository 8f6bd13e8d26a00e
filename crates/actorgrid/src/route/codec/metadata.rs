//! The HTTP headers of a request: encodes and decodes its metadata.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE, USER_AGENT};
use prost::Message as _;
use tonic::metadata::{Binary, BinaryMetadataValue, MetadataMap, MetadataValue};

use crate::environment::{Deadline, Environment};
use crate::error::{RequestError, RequestErrorKind};
use crate::registry::Capabilities;
use crate::route::caller::Caller;
use crate::route::headers::Headers;
use crate::route::meta::{Meta, RequestId};
use crate::token::Token;
use crate::wire::detail::{Header, HeaderList};

const TOKEN_KEY: &str = "grid-token-bin";
const REQUEST_ID_KEY: &str = "grid-request-id-bin";
const HEADERS_KEY: &str = "grid-headers-bin";
const RECEIVER_KEY: &str = "grid-receiver-bin";
/// The headers of W3C Trace Context and Baggage. The first of each travels as plain metadata, under
/// its own name, so that peers with OpenTelemetry for gRPC write and read the same headers.
const PLAIN: [&str; 3] = ["traceparent", "tracestate", "baggage"];
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The deadline of a request that states none. A Go client always states one.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);

/// Returns the HTTP headers of a request.
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

/// The headers that travel as plain metadata, by their index in [`PLAIN`].
#[derive(Default)]
struct PlainHeaders([Option<HeaderValue>; PLAIN.len()]);

impl PlainHeaders {
    /// Accepts a header that can travel as plain metadata. Returns false if it must travel in the
    /// list.
    ///
    /// Plain metadata is printable ASCII, in gRPC and in HTTP libraries that read it as text. A
    /// header value here may hold more bytes, but the receiver would drop it.
    fn take(&mut self, name: &str, value: &str) -> bool {
        let Some(place) = PLAIN.iter().position(|plain| *plain == name) else {
            return false;
        };
        // Not every HTTP library treats surrounding spaces as part of a value.
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

/// Adds the headers that every call has, and its timeout if the time is bounded.
pub(crate) fn put_basics(headers: &mut HeaderMap, time: Option<Duration>) {
    if let Some(time) = time {
        headers.insert(TIMEOUT, timeout(time));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static("actorgrid"));
}

/// Encodes a timeout: at most 8 digits and a unit. Rounded up: the caller's own timer decides.
fn timeout(left: Duration) -> HeaderValue {
    let micros = left.as_micros() + 1;
    let text = if micros < 100_000_000 {
        format!("{micros}u")
    } else {
        format!("{}m", (micros / 1000 + 1).min(99_999_999))
    };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("1S"))
}

/// The timeout header of a request is not a valid time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidTimeout;

/// Returns the time that the headers of a request state, if any.
pub(crate) fn time(headers: &HeaderMap) -> Result<Option<Duration>, InvalidTimeout> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    read_timeout(value.as_bytes())
        .map(Some)
        .ok_or(InvalidTimeout)
}

/// Reads the HTTP headers of a request with this deadline. A missing id (a Go client sends none) is
/// made up, and a header that cannot be read is dropped. A token that cannot be read is an error:
/// the client expects a certain registration, and no other may act on the request.
///
/// Also returns the key of its receiver, if it is stated; see [`put_receiver`].
pub(crate) fn read(
    headers: HeaderMap,
    deadline: Deadline,
    caller: Caller,
    environment: &Environment,
) -> Result<(Meta, Option<String>), RequestError> {
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
    let receiver = bytes(RECEIVER_KEY).and_then(|key| String::from_utf8(key.to_vec()).ok());
    let meta = Meta {
        id: RequestId(id),
        deadline,
        token: read_token(&metadata)?,
        headers: texts,
        caller: Some(caller),
    };
    Ok((meta, receiver))
}

/// Returns the registration that the client expects to reach; `None` if it states none. The header
/// must occur at most once, and be well-formed.
fn read_token(metadata: &MetadataMap) -> Result<Option<Token>, RequestError> {
    let mut tokens = metadata.get_all_bin(TOKEN_KEY).iter();
    let Some(first) = tokens.next() else {
        return Ok(None);
    };
    let token = match (first.to_bytes(), tokens.next()) {
        (Ok(text), None) => std::str::from_utf8(&text).ok().and_then(|t| t.parse().ok()),
        _ => None,
    };
    let error = || {
        let text = "grid-token-bin is not exactly one token";
        RequestError::refused(RequestErrorKind::InvalidHeaders, text)
    };
    token.map(Some).ok_or_else(error)
}

/// States the receiver of a request in its headers, because a large message has it at its end: so
/// the peer can answer that the mailbox is full before the message has arrived.
pub(crate) fn put_receiver(headers: &mut HeaderMap, receiver: &str) {
    let value = MetadataValue::<Binary>::from_bytes(receiver.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(value.as_encoded_bytes()) {
        headers.insert(RECEIVER_KEY, value);
    }
}

/// Adds a received header; drops it if it is not valid, or if there is no room for it.
fn add_received(headers: &mut Headers, name: &str, value: &str) {
    if headers.add(name, value).is_err() {
        log_dropped(name);
    }
}

/// Logs only the name: the value may be confidential.
fn log_dropped(name: &str) {
    tracing::debug!(name, "dropped a header of a request");
}

/// Returns the capabilities of the client that sent these headers. Only clients of this library
/// send a request id.
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
            caller: Some(Caller::local()),
        }
    }

    fn read_back(headers: HeaderMap) -> Meta {
        let deadline = Deadline::after(DEFAULT_DEADLINE);
        let read = read(headers, deadline, Caller::local(), &Environment::real());
        read.unwrap().0
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
        let stated = time(&headers).unwrap().unwrap();
        let deadline = Deadline::after(stated);
        let (read, _) = read(headers, deadline, Caller::local(), &environment).unwrap();
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
        let read = read_back(headers);
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
        let read = read_back(headers);
        let read: Vec<_> = read.headers.iter().collect();
        assert_eq!(read, [("a", "first"), ("c", "last")]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_for_missing_metadata() {
        let mut bare = meta(&[]);
        bare.token = None;
        let headers = write(&bare);
        assert!(!headers.contains_key(HEADERS_KEY));
        assert!(!headers.contains_key(TOKEN_KEY));
        assert_eq!(time(&HeaderMap::new()), Ok(None));
        assert_eq!(read_back(HeaderMap::new()).token, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_cannot_be_read_is_an_error() {
        let deadline = Deadline::after(DEFAULT_DEADLINE);
        let rejected = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TOKEN_KEY, value.parse().unwrap());
            }
            let read = read(headers, deadline, Caller::local(), &Environment::real());
            read.map(|(meta, _)| meta.token)
                .map_err(|error| error.kind())
        };
        let encoded = |text: &str| {
            let value = MetadataValue::<Binary>::from_bytes(text.as_bytes());
            String::from_utf8(value.as_encoded_bytes().to_vec()).unwrap()
        };
        let token = encoded("2a:17");
        assert_eq!(rejected(&[&token]), Ok("2a:17".parse().ok()));
        let kind = Err(RequestErrorKind::InvalidHeaders);
        assert_eq!(rejected(&["*"]), kind, "not base64");
        assert_eq!(rejected(&["/w"]), kind, "no UTF-8");
        assert_eq!(rejected(&[""]), kind);
        assert_eq!(rejected(&[&encoded("2a")]), kind);
        assert_eq!(rejected(&[&encoded("2a:-1")]), kind);
        assert_eq!(rejected(&[&encoded("2a:9223372036854775808")]), kind);
        assert_eq!(rejected(&[&token, &token]), kind, "two");
    }

    #[tokio::test(start_paused = true)]
    async fn the_receiver_of_a_large_message_comes_back() {
        let receiver = |headers: &HeaderMap| {
            let deadline = Deadline::after(DEFAULT_DEADLINE);
            let headers = headers.clone();
            let read = read(headers, deadline, Caller::local(), &Environment::real());
            read.unwrap().1
        };
        let mut headers = HeaderMap::new();
        assert_eq!(receiver(&headers), None);
        put_receiver(&mut headers, "test.mailbox.naïve");
        assert_eq!(receiver(&headers).as_deref(), Some("test.mailbox.naïve"));
        headers.insert(RECEIVER_KEY, "*".parse().unwrap());
        assert_eq!(receiver(&headers), None);
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
    async fn the_most_headers_fit_into_the_limit_of_a_peer() {
        let value = "v".repeat(MAX_HEADER_BYTES / MAX_HEADERS - 1);
        let large = "v".repeat(MAX_HEADER_BYTES - MAX_HEADERS);
        let mut uneven = vec![("a", ""); MAX_HEADERS - 1];
        uneven.push(("a", &large));
        for headers in [vec![("a", &*value); MAX_HEADERS], uneven] {
            // The path and the host, of at most 1 KiB, are added to these.
            let bytes: usize = write(&meta(&headers))
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len() + 32)
                .sum();
            assert!(bytes < 14 * 1024 + 512, "{bytes}");
        }
    }
}
