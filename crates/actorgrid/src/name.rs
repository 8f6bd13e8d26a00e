//! Names and namespaces, valid by construction.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::text_form::text_form;

/// The longest name or namespace, in bytes. A registry key holds a namespace, a kind and a name,
/// and every request carries one such key: a kilobyte is far more than a person writes, and far
/// less than a header or a key may hold.
pub const MAX_NAME_LEN: usize = 1024;

/// The reason that a text is not a [`Name`] or a [`Namespace`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The text is empty.
    Empty,
    /// The text is longer than [`MAX_NAME_LEN`] bytes; the value is its length.
    TooLong(usize),
    /// The text contains a character other than ASCII letters, digits, `-` and `_`.
    Character {
        /// The character that is not allowed.
        character: char,
        /// Its byte offset.
        at: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a name must not be empty"),
            Self::TooLong(length) => {
                write!(
                    f,
                    "a name has at most {MAX_NAME_LEN} bytes, this one has {length}"
                )
            }
            Self::Character { character, at } => write!(
                f,
                "a name holds only ASCII letters, digits, '-' and '_', this one holds {character:?} at byte {at}"
            ),
        }
    }
}

impl std::error::Error for NameError {}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME_LEN {
        return Err(NameError::TooLong(text.len()));
    }
    match text
        .char_indices()
        .find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
    {
        Some((at, character)) => Err(NameError::Character { character, at }),
        None => Ok(()),
    }
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text`: 1 to [`MAX_NAME_LEN`] ASCII letters, digits, `-` and `_`.
            ///
            /// # Errors
            ///
            /// Fails with a [`NameError`] that gives the reason.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;
            fn try_from(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }
    };
}

text_type! {
    /// The name of a peer, an actor, an actor type or a mailbox: 1 to [`MAX_NAME_LEN`] ASCII
    /// letters, digits, `-` and `_`. Cheap to clone.
    ///
    /// ```
    /// use actorgrid::Name;
    ///
    /// assert_eq!(Name::new("worker-7")?.as_str(), "worker-7");
    /// assert!(Name::new("worker.7").is_err());
    /// # Ok::<(), actorgrid::NameError>(())
    /// ```
    Name
}

text_type! {
    /// The prefix of every key of a grid, under the rules of [`Name`]. Peers that share it form one
    /// grid. Cheap to clone.
    Namespace
}

text_form!(Name Namespace);

impl Name {
    /// Returns the name of the peer at `text`, an address without brackets.
    pub(crate) fn of_peer(text: &str) -> Result<Self, NameError> {
        Self::new(&text.replace([':', '.', '/'], "-"))
    }

    /// Returns `<self>-<number>`. The caller has checked that it is not too long.
    pub(crate) fn numbered(&self, number: u32) -> Self {
        Self(format!("{self}-{number}").into())
    }
}

/// Types that can be used as a name: a [`Name`], a text, which is checked, or a
/// [`Registration`](crate::Registration), whose name is used.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a name",
    label = "write a `Name`, a text, or a `&Registration`"
)]
pub trait IntoName {
    /// Returns the name.
    ///
    /// # Errors
    ///
    /// Fails with a [`NameError`] if a text is not a valid name.
    fn into_name(self) -> Result<Name, NameError>;

    /// Returns the text of the name, if it is there without work. It may not be valid.
    #[doc(hidden)]
    fn __text(&self) -> Option<&str> {
        None
    }
}

impl IntoName for Name {
    fn into_name(self) -> Result<Name, NameError> {
        Ok(self)
    }

    fn __text(&self) -> Option<&str> {
        Some(self.as_str())
    }
}

impl IntoName for &Name {
    fn into_name(self) -> Result<Name, NameError> {
        Ok(self.clone())
    }

    fn __text(&self) -> Option<&str> {
        Some(self.as_str())
    }
}

impl IntoName for &str {
    fn into_name(self) -> Result<Name, NameError> {
        Name::new(self)
    }

    fn __text(&self) -> Option<&str> {
        Some(self)
    }
}

impl IntoName for String {
    fn into_name(self) -> Result<Name, NameError> {
        Name::new(&self)
    }

    fn __text(&self) -> Option<&str> {
        Some(self)
    }
}

impl IntoName for &String {
    fn into_name(self) -> Result<Name, NameError> {
        Name::new(self)
    }

    fn __text(&self) -> Option<&str> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn says_what_is_wrong_with_a_name() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(
            Name::new(&"a".repeat(1_000_000)),
            Err(NameError::TooLong(1_000_000))
        );
        assert!(Name::new(&"a".repeat(MAX_NAME_LEN)).is_ok());
        assert!(Name::new(&"a".repeat(MAX_NAME_LEN + 1)).is_err());
        for (text, character, at) in [
            ("a.b", '.', 1),
            ("naïve", 'ï', 2),
            (" a", ' ', 0),
            ("a/b", '/', 1),
            ("a\0", '\0', 1),
        ] {
            assert_eq!(Name::new(text), Err(NameError::Character { character, at }));
        }
    }

    proptest! {
        #[test]
        fn accepts_exactly_the_shared_pattern(text in ".{0,12}") {
            let allowed = !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            prop_assert_eq!(Name::new(&text).is_ok(), allowed);
            prop_assert_eq!(Namespace::new(&text).is_ok(), allowed);
        }
    }
}
