//! The texts that a receiver remembers for the other side, by their ids.

use super::hello::InternLimits;
use super::interned_id::InternedId;
use super::link_error::LinkError;
use super::reference::TextReference;

/// The texts of one kind that the sender has defined, each converted to a `T`. Their number and
/// their bytes are within the limits that this side announced in its `Hello`.
#[derive(Debug)]
pub(crate) struct InternedTexts<T> {
    limits: InternLimits,
    texts: Vec<Option<Remembered<T>>>,
    /// The bytes of all texts.
    bytes: usize,
}

#[derive(Debug)]
struct Remembered<T> {
    value: T,
    /// The bytes of the text.
    bytes: usize,
}

/// A text that a frame refers to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReceivedText<'t, T> {
    /// One that is remembered.
    Interned(&'t T),
    /// One that is not.
    Inline(T),
}

impl<T> ReceivedText<'_, T> {
    pub(crate) const fn get(&self) -> &T {
        match self {
            Self::Interned(value) => value,
            Self::Inline(value) => value,
        }
    }
}

impl<T> InternedTexts<T> {
    pub(crate) const fn new(limits: InternLimits) -> Self {
        Self {
            limits,
            texts: Vec::new(),
            bytes: 0,
        }
    }

    /// Returns the bytes of all texts that are remembered.
    #[cfg(any(test, fuzzing))]
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the text that is remembered under this id.
    ///
    /// # Errors
    ///
    /// The id is not known: the link must be closed.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: InternedId) -> Result<&mut T, LinkError> {
        let place = self.texts.get_mut(id.index());
        let known = place.and_then(Option::as_mut);
        let known = known.ok_or(LinkError::UnknownText(id.get()))?;
        Ok(&mut known.value)
    }

    /// Returns the text that a frame refers to. `make` turns one that is written out into a `T`.
    /// Call this for every reference that was read, in order: otherwise later ids refer to the
    /// wrong texts.
    ///
    /// # Errors
    ///
    /// The id is not known, or is beyond the limits: the link must be closed.
    pub(crate) fn resolve(
        &mut self,
        reference: TextReference<'_>,
        make: impl FnOnce(&str) -> T,
    ) -> Result<ReceivedText<'_, T>, LinkError> {
        match reference {
            TextReference::Inline(text) => Ok(ReceivedText::Inline(make(text))),
            TextReference::Interned(id) => {
                let place = self.texts.get(id.index());
                let known = place.and_then(Option::as_ref);
                let known = known.ok_or(LinkError::UnknownText(id.get()))?;
                Ok(ReceivedText::Interned(&known.value))
            }
            TextReference::Define(id, text) => self.define(id, text, make),
        }
    }

    fn define(
        &mut self,
        id: InternedId,
        text: &str,
        make: impl FnOnce(&str) -> T,
    ) -> Result<ReceivedText<'_, T>, LinkError> {
        let index = id.index();
        if id.get() > self.limits.entries {
            return Err(LinkError::TooManyTexts(id.get()));
        }
        let replaced = self.texts.get(index).and_then(Option::as_ref);
        let replaced = replaced.map_or(0, |known| known.bytes);
        let bytes = self.bytes - replaced + text.len();
        if !u32::try_from(bytes).is_ok_and(|bytes| bytes <= self.limits.bytes) {
            return Err(LinkError::TooManyTextBytes(bytes));
        }
        if self.texts.len() <= index {
            self.texts.resize_with(index + 1, || None);
        }
        let place = self.texts.get_mut(index);
        let place = place.ok_or(LinkError::TooManyTexts(id.get()))?;
        self.bytes = bytes;
        let remembered = place.insert(Remembered {
            value: make(text),
            bytes: text.len(),
        });
        Ok(ReceivedText::Interned(&remembered.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(entries: u32, bytes: u32) -> InternedTexts<String> {
        InternedTexts::new(InternLimits { entries, bytes })
    }

    fn id(number: u32) -> InternedId {
        InternedId::new(number).unwrap()
    }

    #[test]
    fn a_definition_holds_until_the_next_one() {
        let mut texts = texts(2, 8);
        let mut resolve = |reference| {
            let text = texts.resolve(reference, str::to_owned);
            text.map(|text| text.get().clone())
        };
        let known = |text: &str| Ok(text.to_owned());
        assert_eq!(resolve(TextReference::Inline("x")), known("x"));
        let unknown = Err(LinkError::UnknownText(2));
        assert_eq!(resolve(TextReference::Interned(id(2))), unknown);
        assert_eq!(resolve(TextReference::Define(id(2), "ab")), known("ab"));
        assert_eq!(resolve(TextReference::Interned(id(2))), known("ab"));
        let unknown = Err(LinkError::UnknownText(1));
        assert_eq!(resolve(TextReference::Interned(id(1))), unknown);
        assert_eq!(resolve(TextReference::Define(id(2), "cde")), known("cde"));
        assert_eq!(resolve(TextReference::Interned(id(2))), known("cde"));
        assert_eq!(texts.bytes(), 3);
    }

    #[test]
    fn number_and_bytes_are_bounded() {
        let mut texts = texts(2, 8);
        let mut define = |number, text| {
            let defined = texts.resolve(TextReference::Define(id(number), text), str::to_owned);
            defined.map(|_| ())
        };
        assert_eq!(define(3, ""), Err(LinkError::TooManyTexts(3)));
        assert_eq!(define(1, "12345678"), Ok(()));
        assert_eq!(define(2, "1"), Err(LinkError::TooManyTextBytes(9)));
        assert_eq!(define(1, "1234567"), Ok(()));
        assert_eq!(define(2, "1"), Ok(()));
        assert_eq!(
            define(i32::MAX as u32, "1"),
            Err(LinkError::TooManyTexts(i32::MAX as u32))
        );
    }
}
