use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE, USER_AGENT};
use prost::Message as _;
use tonic::metadata::{BinaryMetadataValue, MetadataMap, MetadataValue};

use crate::environment::{Deadline, Environment};
use crate::route::{Headers, Meta, RequestId};
use crate::wire::detail::{Header, HeaderList};

const TOKEN_KEY: &str = "grid-token-bin";
const REQUEST_ID_KEY: &str = "grid-request-id-bin";
const HEADERS_KEY: &str = "grid-headers-bin";
const TRACEPARENT: &str = "traceparent";
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The deadline of a request that states none. A Go client always states one.
pub(super) const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);

/// The HTTP headers of a request.
pub(super) fn write(meta: &Meta) -> HeaderMap {
    let mut metadata = MetadataMap::with_capacity(12);
    metadata.insert_bin(
        REQUEST_ID_KEY,
        MetadataValue::from_bytes(&meta.id.0.to_be_bytes()),
    );
    if let Some(token) = meta.token {
        let text = token.to_string();
        metadata.insert_bin(TOKEN_KEY, MetadataValue::from_bytes(text.as_bytes()));
    }
    let mut traceparent = None;
    if !meta.headers.is_empty() {
        traceparent = meta
            .headers
            .get(TRACEPARENT)
            .and_then(|value| HeaderValue::from_str(value).ok());
        let mut leave_out = traceparent.is_some();
        let headers = meta
            .headers
            .iter()
            // Only the first one travels by itself.
            .filter(|(name, _)| *name != TRACEPARENT || !std::mem::take(&mut leave_out))
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
    if let Some(value) = traceparent {
        headers.insert(TRACEPARENT, value);
    }
    put_basics(&mut headers, Some(meta.deadline.remaining()));
    headers
}

/// What every call says, and the time that it has where that is bounded.
pub(super) fn put_basics(headers: &mut HeaderMap, time: Option<Duration>) {
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

/// The header that states a request's time is not one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidTimeout;

/// The time that the headers of a request state, if they do.
pub(super) fn time(headers: &HeaderMap) -> Result<Option<Duration>, InvalidTimeout> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    read_timeout(value.as_bytes())
        .map(Some)
        .ok_or(InvalidTimeout)
}

/// Reads the HTTP headers of a request that states this [`time`]. What a Go client does not send
/// is made up, what cannot be read is left out.
pub(super) fn read(headers: HeaderMap, time: Option<Duration>, environment: &Environment) -> Meta {
    let time = time.unwrap_or(DEFAULT_DEADLINE);
    let mut texts = Headers::default();
    if let Some(value) = headers.get(TRACEPARENT).and_then(|v| v.to_str().ok()) {
        let _ = texts.add(TRACEPARENT, value);
    }
    let metadata = MetadataMap::from_headers(headers);
    let bytes = |key| {
        let value: Option<&BinaryMetadataValue> = metadata.get_bin(key);
        value.and_then(|value| value.to_bytes().ok())
    };
    if let Some(list) = bytes(HEADERS_KEY).and_then(|list| HeaderList::decode(list).ok()) {
        for header in list.headers {
            let _ = texts.add(&header.name, &header.value);
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
    }
}

/// Whether the request comes from a client of ours.
pub(super) fn is_ours(headers: &HeaderMap) -> bool {
    headers.contains_key(REQUEST_ID_KEY)
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
    use crate::route::{MAX_HEADER_BYTES, MAX_HEADERS};

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
        }
    }

    #[tokio::test(start_paused = true)]
    async fn comes_back_as_it_was_written() {
        let environment = Environment::real();
        let sent = meta(&[
            ("a", "naïve\n"),
            ("traceparent", "00-1"),
            ("traceparent", "x"),
        ]);
        let headers = write(&sent);
        assert_eq!(headers["traceparent"], "00-1");
        let stated = time(&headers).unwrap();
        let read = read(headers, stated, &environment);
        assert_eq!((read.id, read.token), (sent.id, sent.token));
        let texts: Vec<_> = read.headers.iter().collect();
        assert_eq!(
            texts,
            [
                ("traceparent", "00-1"),
                ("a", "naïve\n"),
                ("traceparent", "x")
            ]
        );
        let difference = read
            .deadline
            .remaining()
            .abs_diff(sent.deadline.remaining());
        assert!(difference < Duration::from_millis(2), "{difference:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_for_what_is_not_there() {
        let mut bare = meta(&[]);
        bare.token = None;
        let headers = write(&bare);
        assert!(!headers.contains_key(HEADERS_KEY));
        assert!(!headers.contains_key(TOKEN_KEY));
        assert_eq!(time(&HeaderMap::new()), Ok(None));
        let read = read(HeaderMap::new(), None, &Environment::real());
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
