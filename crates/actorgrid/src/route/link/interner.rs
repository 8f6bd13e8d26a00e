//! The sender's side of interning: a repeated text is written out once and then sent as an id.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::hello::InternLimits;
use super::interned_id::InternedId;
use super::reference::TextReference;

/// The limits on the texts that are defined, even if the other side allows more: a client that
/// sends to more names than this in turn saves little by defining them.
const MAX_TEXTS: InternLimits = InternLimits {
    entries: 4096,
    bytes: 256 * 1024,
};

/// The texts of one kind that the other side remembers for this one, within the limits that it
/// announced.
///
/// When there is no room, each new text inspects the next place, in turn, and replaces the text
/// there unless it was used since the previous inspection. So a text that is sent once does not
/// displace one that is sent often.
#[derive(Debug)]
pub(crate) struct Interner {
    limits: InternLimits,
    /// The longest text that may be written at all.
    max_text_bytes: usize,
    ids: HashMap<Arc<str>, usize, RandomState>,
    texts: Vec<Defined>,
    /// The bytes that count against the limit: at least as many as the other side counts.
    bytes: usize,
    /// The place to inspect next.
    hand: usize,
    /// A place that was used lately: many frames in turn refer to the same text.
    last: usize,
}

#[derive(Debug)]
struct Defined {
    id: InternedId,
    /// `None` if its definition was not sent.
    text: Option<Arc<str>>,
    /// The bytes that count for it.
    bytes: usize,
    /// The bytes that counted for the text before it.
    bytes_before: usize,
    was_used: bool,
}

impl Interner {
    /// Creates an interner for texts of at most `max_text_bytes`, which are all that may be
    /// written, and for a receiver with these limits.
    pub(crate) fn new(limits: InternLimits, max_text_bytes: usize) -> Self {
        Self {
            limits: InternLimits {
                entries: limits.entries.min(MAX_TEXTS.entries),
                bytes: limits.bytes.min(MAX_TEXTS.bytes),
            },
            max_text_bytes,
            ids: HashMap::default(),
            texts: Vec::new(),
            bytes: 0,
            hand: 0,
            last: 0,
        }
    }

    /// Returns the reference to write into the frame that is sent next. If that frame is not sent
    /// after all, call [`forget`](Self::forget).
    pub(crate) fn reference<'t>(&mut self, text: &'t str) -> TextReference<'t> {
        self.reference_near(text, self.last)
    }

    /// The same, with a guess at its place, which may be wrong.
    #[inline]
    pub(crate) fn reference_near<'t>(&mut self, text: &'t str, guess: usize) -> TextReference<'t> {
        if let Some(known) = self.texts.get_mut(guess)
            && known.text.as_deref() == Some(text)
        {
            known.was_used = true;
            return TextReference::Interned(known.id);
        }
        if let Some(index) = self.ids.get(text).copied() {
            self.last = index;
            if let Some(known) = self.texts.get_mut(index) {
                known.was_used = true;
            }
            return match InternedId::of_index(index) {
                Some(id) => TextReference::Interned(id),
                None => TextReference::Inline(text),
            };
        }
        match self.place(text).and_then(|index| self.define(index, text)) {
            Some(id) => TextReference::Define(id, text),
            None => TextReference::Inline(text),
        }
    }

    /// Finds a place for a text that is not defined. Returns `None` if it is to be written out
    /// without a definition this time.
    fn place(&mut self, text: &str) -> Option<usize> {
        let max_bytes = usize::try_from(self.limits.bytes).unwrap_or(usize::MAX);
        let max_entries = usize::try_from(self.limits.entries).unwrap_or(usize::MAX);
        if text.len() > self.max_text_bytes {
            return None;
        }
        if self.texts.len() < max_entries && self.bytes + text.len() <= max_bytes {
            return Some(self.texts.len());
        }
        let index = self.hand;
        let known = self.texts.get_mut(index)?;
        let is_free = !std::mem::take(&mut known.was_used);
        let fits = is_free && self.bytes - known.bytes + text.len() <= max_bytes;
        self.hand = (index + 1) % self.texts.len();
        fits.then_some(index)
    }

    /// Puts a text into a place, and forgets the text that was there.
    fn define(&mut self, index: usize, text: &str) -> Option<InternedId> {
        let id = InternedId::of_index(index)?;
        let text: Arc<str> = text.into();
        let mut defined = Defined {
            id,
            text: Some(Arc::clone(&text)),
            bytes: text.len(),
            bytes_before: 0,
            was_used: true,
        };
        match self.texts.get_mut(index) {
            Some(known) => {
                defined.bytes_before = known.bytes;
                self.bytes -= known.bytes;
                if let Some(text) = &known.text {
                    self.ids.remove(text);
                }
                *known = defined;
            }
            None => self.texts.push(defined),
        }
        self.bytes += text.len();
        self.ids.insert(text, index);
        Some(id)
    }

    /// Notes that a frame with this reference was not sent: its definition is not known to the
    /// other side.
    pub(crate) fn forget(&mut self, reference: TextReference<'_>) {
        let TextReference::Define(id, text) = reference else {
            return;
        };
        let Some(known) = self.texts.get_mut(id.index()) else {
            return;
        };
        if known.text.as_deref() != Some(text) {
            return;
        }
        self.ids.remove(text);
        // The other side still remembers the previous text.
        self.bytes = self.bytes - known.bytes + known.bytes_before;
        known.bytes = known.bytes_before;
        known.text = None;
        known.was_used = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::link::interned_texts::InternedTexts;
    use proptest::prelude::*;

    #[test]
    fn a_text_is_written_out_once() {
        let limits = InternLimits {
            entries: 2,
            bytes: 100,
        };
        let mut interner = Interner::new(limits, 10);
        let id = |number| InternedId::new(number).unwrap();
        assert_eq!(interner.reference("a"), TextReference::Define(id(1), "a"));
        assert_eq!(interner.reference("b"), TextReference::Define(id(2), "b"));
        assert_eq!(interner.reference("a"), TextReference::Interned(id(1)));
        // Both were used: one look each before one of them goes.
        assert_eq!(interner.reference("c"), TextReference::Inline("c"));
        assert_eq!(interner.reference("c"), TextReference::Inline("c"));
        assert_eq!(interner.reference("b"), TextReference::Interned(id(2)));
        assert_eq!(interner.reference("c"), TextReference::Define(id(1), "c"));
        assert_eq!(interner.reference("c"), TextReference::Interned(id(1)));
        assert_eq!(interner.reference("b"), TextReference::Interned(id(2)));
    }

    #[test]
    fn a_receiver_that_remembers_nothing_gets_all_written_out() {
        let mut interner = Interner::new(InternLimits::default(), 10);
        assert_eq!(interner.reference("a"), TextReference::Inline("a"));
        assert_eq!(interner.reference("a"), TextReference::Inline("a"));
    }

    #[test]
    fn a_text_that_is_too_long_defines_nothing() {
        let limits = InternLimits {
            entries: 2,
            bytes: 100,
        };
        let mut interner = Interner::new(limits, 3);
        assert_eq!(interner.reference("long"), TextReference::Inline("long"));
    }

    proptest! {
        /// Each text arrives and the limits hold, no matter which frames are given up.
        #[test]
        fn both_sides_agree(
            sent in proptest::collection::vec((0..12_usize, 0..8_usize, any::<bool>()), 0..200),
            entries in 0..6_u32,
            bytes in 0..40_u32,
        ) {
            let limits = InternLimits { entries, bytes };
            let mut interner = Interner::new(limits, 20);
            let mut received = InternedTexts::new(limits);
            for (length, guess, is_given_up) in sent {
                let text = "abcdefghijklm"[..length].to_owned();
                let reference = interner.reference_near(&text, guess);
                if is_given_up {
                    interner.forget(reference);
                    continue;
                }
                let read = received.resolve(reference, str::to_owned);
                prop_assert_eq!(read.map(|read| read.get().clone()), Ok(text));
                prop_assert!(interner.texts.len() <= limits.entries as usize);
                prop_assert!(interner.ids.len() <= interner.texts.len());
            }
        }
    }
}
