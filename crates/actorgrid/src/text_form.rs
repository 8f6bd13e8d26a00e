//! Serialization of types as their text: with the feature `serde`, a value is written as by
//! `Display` and read as by `FromStr`.

/// Implements `Serialize` and `Deserialize` for types with `Display` and `FromStr`.
macro_rules! text_form {
    ($($name:ident)*) => {
        $(
            #[cfg(feature = "serde")]
            impl serde::Serialize for $name {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            #[cfg(feature = "serde")]
            impl<'de> serde::Deserialize<'de> for $name {
                fn deserialize<D: serde::Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<Self, D::Error> {
                    let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                }
            }
        )*
    };
}

pub(crate) use text_form;
