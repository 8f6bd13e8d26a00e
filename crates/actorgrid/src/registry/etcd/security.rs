//! The choice between plain connections to etcd and connections over TLS.

#[cfg(feature = "tls")]
use super::tls::Tls;
use super::url::TlsFiles;
use crate::registry::RegistryError;
#[cfg(not(feature = "tls"))]
use crate::registry::RegistryErrorKind;

/// How connections to etcd are secured.
#[derive(Clone)]
pub(super) enum Security {
    Plain,
    #[cfg(feature = "tls")]
    Tls(Tls),
}

impl Security {
    #[cfg(feature = "tls")]
    pub(super) fn of(files: Option<&TlsFiles>) -> Result<Self, RegistryError> {
        files.map_or(Ok(Self::Plain), |files| Tls::load(files).map(Self::Tls))
    }

    #[cfg(not(feature = "tls"))]
    pub(super) fn of(files: Option<&TlsFiles>) -> Result<Self, RegistryError> {
        match files {
            None => Ok(Self::Plain),
            Some(_) => Err(RegistryError::new(
                RegistryErrorKind::Url,
                "this build does not support TLS: enable the feature `tls` of actorgrid",
            )),
        }
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    pub(super) fn scheme(&self) -> &'static str {
        match self {
            Self::Plain => "http",
            #[cfg(feature = "tls")]
            Self::Tls(_) => "https",
        }
    }
}
