//! Secures connections to etcd with TLS.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::io::Io;
use super::url::TlsFiles;
use crate::environment::Socket;
use crate::registry::{RegistryError, RegistryErrorKind};

/// A TLS client configuration for connections to etcd.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

impl Tls {
    /// Loads the configuration from files.
    pub(super) fn load(files: &TlsFiles) -> Result<Self, RegistryError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refuse(format!("cannot set up TLS: {error}")).caused_by(error))?
            .with_root_certificates(roots(files.ca.as_deref())?);
        let mut config = match &files.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => builder
                .with_client_auth_cert(certificates(cert)?, private_key(key)?)
                .map_err(|error| {
                    refuse(format!("{} and its key: {error}", cert.display())).caused_by(error)
                })?,
        };
        config.alpn_protocols.push(b"h2".to_vec());
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    pub(super) async fn secure(
        &self,
        host: &str,
        socket: Socket,
    ) -> Result<Box<dyn Io>, Box<dyn Error + Send + Sync>> {
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Box::new(self.0.connect(name, socket).await?))
    }
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, RegistryError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(ca) => {
            for certificate in certificates(ca)? {
                let added = roots.add(certificate);
                added.map_err(|error| unusable(ca, error))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(refuse(
                    "the system trusts no certificate authority: name a file with ca=",
                ));
            }
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RegistryError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<_, _>>)
        .map_err(|error| unusable(path, error))?;
    if certificates.is_empty() {
        return Err(refuse(format!(
            "{} contains no certificate",
            path.display()
        )));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, RegistryError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, error: impl Error + Send + Sync + 'static) -> RegistryError {
    refuse(format!("{}: {error}", path.display())).caused_by(error)
}

fn refuse(text: impl Into<String>) -> RegistryError {
    RegistryError::new(RegistryErrorKind::Tls, text)
}

/// Whether a connection failed because of TLS, and not in a layer below it.
pub(super) fn is_cause(error: &(dyn Error + 'static)) -> bool {
    let mut source = Some(error);
    while let Some(error) = source {
        if error.is::<rustls::Error>() {
            return true;
        }
        // `source` of an I/O error skips the error within and returns that error's source.
        let inner = error.downcast_ref::<std::io::Error>();
        if let Some(inner) = inner.and_then(std::io::Error::get_ref) {
            let inner: &(dyn Error + 'static) = inner;
            if inner.is::<rustls::Error>() {
                return true;
            }
        }
        source = error.source();
    }
    false
}
