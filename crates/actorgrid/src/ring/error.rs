//! Why a ring cannot be made.

use std::fmt;

use super::limits::MAX_RINGS;
use crate::name::NameError;

/// Why there can be no such [`MultiRing`](super::MultiRing).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingError {
    /// The name is not valid, or so long that the name of a member would not be.
    Name(NameError),
    /// No ring would be left for the keys that have no reserved one.
    AllReserved {
        /// The rings that there are to be.
        rings: u32,
        /// The rings that are to be reserved.
        reserved: u32,
    },
    /// There are to be more than [`MAX_RINGS`] rings; this many.
    TooManyRings(u32),
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => fmt::Display::fmt(error, f),
            Self::AllReserved { rings, reserved } => write!(
                f,
                "fewer rings must be reserved than there are: {reserved} of {rings}"
            ),
            Self::TooManyRings(rings) => {
                write!(
                    f,
                    "a multi-ring has at most {MAX_RINGS} rings, this one {rings}"
                )
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
