//! The sides of a link.

use std::fmt;

/// The side that sends requests, or the one that answers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkSide {
    Calling,
    Serving,
}

impl LinkSide {
    pub(crate) const ALL: [Self; 2] = [Self::Calling, Self::Serving];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Calling => "calling",
            Self::Serving => "serving",
        }
    }
}

impl fmt::Display for LinkSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
