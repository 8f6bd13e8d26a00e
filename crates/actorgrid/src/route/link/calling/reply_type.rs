//! The type of a reply, and whether it is the one that a caller expects.

use std::ptr;
use std::sync::Arc;

/// A type of replies that the peer has defined.
#[derive(Debug)]
pub(super) struct ReplyType {
    name: Arc<str>,
    /// The same text in the program, where a caller has expected it.
    in_program: Option<&'static str>,
}

impl ReplyType {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            in_program: None,
        }
    }

    pub(super) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Whether this is the type that a caller expects. A text of the program neither moves nor
    /// changes, so usually it is known by its place.
    #[inline]
    pub(super) fn is(&mut self, expected: &'static str) -> bool {
        if let Some(known) = self.in_program
            && ptr::eq(known, expected)
        {
            return true;
        }
        let is_same = *self.name == *expected;
        if is_same {
            self.in_program = Some(expected);
        }
        is_same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_decides_and_not_its_place() {
        let text: &'static str = "shop/Job";
        let mut reply_type = ReplyType::new("shop/Jo");
        assert!(!reply_type.is(text));
        assert!(reply_type.is(&text[..7]));
        assert!(!reply_type.is(text), "it begins at the same place");
        assert!(reply_type.is(&text[..7]));
        assert!(!reply_type.is(""));
    }
}
