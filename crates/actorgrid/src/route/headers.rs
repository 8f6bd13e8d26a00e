//! The headers of a request: texts that travel with it.

use crate::error::{RequestError, RequestErrorKind};

/// The largest total size of the names and values of a request's headers, in bytes.
pub const MAX_HEADER_BYTES: usize = 8 * 1024;

/// The largest number of headers of a request. Each adds up to 9 bytes when it is encoded; this
/// many fit, with all their bytes, into the headers that a peer accepts.
pub const MAX_HEADERS: usize = 200;

/// Whether a text can be the name of a header.
pub(super) fn is_header_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    !text.is_empty() && text.bytes().all(plain)
}

/// Texts that travel with a request, in the order in which they were added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    /// Adds a header; a name consists of one or more lower-case ASCII letters, digits, `-`, `_` and
    /// `.`.
    pub(crate) fn add(&mut self, name: &str, value: &str) -> Result<(), RequestError> {
        let invalid = |text: String| {
            Err(RequestError::refused(
                RequestErrorKind::InvalidHeaders,
                text,
            ))
        };
        if !is_header_name(name) {
            return invalid(format!(
                "a header's name holds only lower-case ASCII letters, digits, '-', '_' and '.', \
                 not {name:?}"
            ));
        }
        if self.0.len() >= MAX_HEADERS {
            return invalid(format!("a request has at most {MAX_HEADERS} headers"));
        }
        let bytes = self.bytes() + name.len() + value.len();
        if bytes > MAX_HEADER_BYTES {
            return invalid(format!(
                "the headers of a request have at most {MAX_HEADER_BYTES} bytes, these have {bytes}"
            ));
        }
        self.0.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&self) -> usize {
        self.0
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_bounded_and_valid() {
        let mut headers = Headers::default();
        headers.add("traceparent", "00-1").unwrap();
        headers.add("x-a.b_1", "naïve, with: anything").unwrap();
        assert_eq!(headers.get("x-a.b_1"), Some("naïve, with: anything"));
        for name in ["", "A", "a b", "ü"] {
            assert!(headers.add(name, "").is_err(), "{name}");
        }
        let used = "traceparent00-1x-a.b_1naïve, with: anything".len();
        assert!(
            headers
                .add("b", &"v".repeat(MAX_HEADER_BYTES - used))
                .is_err()
        );
        assert!(
            headers
                .add("b", &"v".repeat(MAX_HEADER_BYTES - used - 1))
                .is_ok()
        );
        assert!(headers.add("c", "").is_err());

        let mut headers = Headers::default();
        for _ in 0..MAX_HEADERS {
            headers.add("a", "").unwrap();
        }
        assert!(headers.add("a", "").is_err());
    }
}
