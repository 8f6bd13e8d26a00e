//! The receiver of a request, as far as it is known when the request is created.

use std::fmt;
use std::sync::Arc;

use crate::client::locations::{KnownLocation, Locations};
use crate::error::RequestError;
use crate::name::{IntoName, Name, NameError};

/// The receiver of a request. Small, as most are known.
pub(super) enum RequestReceiver {
    /// It was found among the remembered locations: it needs neither a check nor a copy.
    Known(Arc<KnownLocation>),
    Named(Name),
    Invalid(Box<NameError>),
}

impl RequestReceiver {
    pub(super) fn new(locations: &Locations, to: impl IntoName) -> Self {
        if let Some(known) = to.__text().and_then(|text| locations.known(text)) {
            return Self::Known(known);
        }
        match to.into_name() {
            Ok(name) => Self::Named(name),
            Err(error) => Self::Invalid(Box::new(error)),
        }
    }

    /// Returns its name, if it is valid.
    pub(super) fn name(&self) -> Option<&Name> {
        match self {
            Self::Known(known) => Some(known.name()),
            Self::Named(name) => Some(name),
            Self::Invalid(_) => None,
        }
    }

    /// Returns its name.
    ///
    /// # Errors
    ///
    /// The name is not valid.
    pub(super) fn into_name(self) -> Result<Name, RequestError> {
        match self {
            Self::Known(known) => Ok(known.name().clone()),
            Self::Named(name) => Ok(name),
            Self::Invalid(error) => Err(RequestError::invalid_name(&error)),
        }
    }
}

impl fmt::Debug for RequestReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(known) => known.name().fmt(f),
            Self::Named(name) => name.fmt(f),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}
