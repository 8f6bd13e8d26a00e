//! Stable names: lower-case words for the values of an enum, the same in every version.

/// An enum whose values have stable names. [`stable_names!`] implements it.
pub(crate) trait StableName: Copy + 'static {
    /// All values.
    const ALL: &'static [Self];
    /// Their names, in the same order.
    const NAMES: &'static [&'static str];

    /// Returns the value with this name.
    fn of_name(name: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        Self::ALL.get(at).copied()
    }
}

/// Gives the values of an enum their stable names: `as_str`, `Display`, [`StableName`], and, with
/// the feature `serde`, their serialized form.
///
/// A published name never changes: it appears in logs, metrics, files and trailers.
macro_rules! stable_names {
    ($kind:ident { $($value:ident = $name:literal,)* }) => {
        impl $kind {
            /// Returns the stable name, in lower case. It never changes between versions, so it can
            /// be logged, stored and compared. [`Display`](std::fmt::Display) writes the same.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $name,)*
                }
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::stable_names::StableName for $kind {
            const ALL: &'static [Self] = &[$(Self::$value),*];
            const NAMES: &'static [&'static str] = &[$($name),*];
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                <Self as $crate::stable_names::StableName>::of_name(&name).ok_or_else(|| {
                    let names = <Self as $crate::stable_names::StableName>::NAMES;
                    serde::de::Error::unknown_variant(&name, names)
                })
            }
        }
    };
}

pub(crate) use stable_names;
