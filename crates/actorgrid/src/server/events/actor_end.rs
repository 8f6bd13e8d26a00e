//! How an actor ended, as events report it.

use std::fmt;
use std::sync::Arc;

/// The longest text of an error or a panic in an event, in bytes; a longer one is cut. People read
/// it, and the event log holds many.
pub(in crate::server) const MAX_EVENT_TEXT: usize = 512;

/// How an actor ended, or why its constructor did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActorEnd {
    /// The actor returned without an error.
    Returned,
    /// The actor or its constructor returned an error with this text, cut after 512 bytes.
    Failed(Arc<str>),
    /// The actor or its constructor panicked with this text, cut after 512 bytes.
    Panicked(Arc<str>),
    /// The actor was dropped at an await: it did not end in time after it was asked to stop, or its
    /// peer was fenced and reached the hard deadline.
    Aborted,
    /// The actor was asked to stop, or its peer was fenced, before it began.
    NotRun,
    /// The constructor did not end within the [constructor
    /// timeout](crate::ServerBuilder::constructor_timeout), and was dropped.
    TimedOut,
}

impl ActorEnd {
    pub(in crate::server) fn failed(text: &str) -> Self {
        Self::Failed(cut(text).into())
    }

    pub(in crate::server) fn panicked(text: &str) -> Self {
        Self::Panicked(cut(text).into())
    }

    /// Returns the name of the variant in lower case with hyphens. It never changes.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Failed(_) => "failed",
            Self::Panicked(_) => "panicked",
            Self::Aborted => "aborted",
            Self::NotRun => "not-run",
            Self::TimedOut => "timed-out",
        }
    }

    /// Returns the text of the error or the panic.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Failed(text) | Self::Panicked(text) => Some(text),
            Self::Returned | Self::Aborted | Self::NotRun | Self::TimedOut => None,
        }
    }
}

impl fmt::Display for ActorEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self.text() {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

/// Returns the longest prefix that an event may hold.
fn cut(text: &str) -> &str {
    if text.len() <= MAX_EVENT_TEXT {
        return text;
    }
    let fits = (0..=MAX_EVENT_TEXT)
        .rev()
        .find(|end| text.is_char_boundary(*end));
    &text[..fits.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let length = |text: String| ActorEnd::failed(&text).text().map(str::len);
        assert_eq!(length("x".repeat(MAX_EVENT_TEXT)), Some(MAX_EVENT_TEXT));
        assert_eq!(length("ü".repeat(MAX_EVENT_TEXT)), Some(MAX_EVENT_TEXT));
        let odd = format!("a{}", "ü".repeat(MAX_EVENT_TEXT));
        assert_eq!(length(odd), Some(MAX_EVENT_TEXT - 1));
    }

    #[test]
    fn it_shows_its_name_and_its_text() {
        assert_eq!(ActorEnd::Returned.to_string(), "returned");
        assert_eq!(ActorEnd::panicked("ouch").to_string(), "panicked: ouch");
    }
}
