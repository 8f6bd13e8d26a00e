//! Selects the keys that a watch follows.

/// The keys that a watch follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selector {
    Key(String),
    Prefix(String),
}

impl Selector {
    pub(crate) fn selects(&self, key: &str) -> bool {
        match self {
            Self::Key(wanted) => wanted == key,
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
        }
    }
}
