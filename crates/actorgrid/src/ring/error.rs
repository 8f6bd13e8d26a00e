//! Why a ring cannot be created.

use std::fmt;

use super::limits::MAX_RINGS;
use crate::name::NameError;

/// Why a [`MultiRing`](super::MultiRing) cannot be created.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingError {
    /// The name is not valid, or so long that a member's name would not be valid.
    Name(NameError),
    /// No ring would be left for keys that do not use the reserved rings.
    AllReserved {
        /// The requested number of rings.
        rings: u32,
        /// The requested number of reserved rings.
        reserved: u32,
    },
    /// This many rings were requested, which is more than [`MAX_RINGS`].
    TooManyRings(u32),
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => fmt::Display::fmt(error, f),
            Self::AllReserved { rings, reserved } => write!(
                f,
                "{reserved} of {rings} rings are reserved, which leaves no ring for the other keys"
            ),
            Self::TooManyRings(rings) => {
                write!(f, "a multi-ring has at most {MAX_RINGS} rings, not {rings}")
            }
        }
    }
}

impl std::error::Error for RingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Name(error) => Some(error),
            Self::AllReserved { .. } | Self::TooManyRings(_) => None,
        }
    }
}

impl From<NameError> for RingError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}
