//! The parts of a request that are counted.

use std::fmt;

/// The side of a link that sends requests, the one that answers them, or both of the local route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CountedSide {
    Calling,
    Serving,
    /// A client of the peer itself calls its actor.
    Local,
}

impl CountedSide {
    pub(crate) const ALL: [Self; 3] = [Self::Calling, Self::Serving, Self::Local];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Calling => "calling",
            Self::Serving => "serving",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for CountedSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
