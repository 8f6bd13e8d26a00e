//! Authenticates a user of etcd, and keeps its token.

use std::sync::{Mutex, PoisonError};

use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Status};

use super::connection::EtcdConnection;
use super::url::Credentials;
use crate::wire::etcd::AuthenticateRequest;
use crate::wire::etcd::auth_client::AuthClient;

/// The metadata under which etcd expects the token.
const TOKEN: &str = "token";

/// Acquires tokens for a user, and keeps the last one until it is refused.
#[derive(Debug)]
pub(super) struct Authenticator {
    credentials: Credentials,
    pass: Mutex<Option<Pass>>,
}

/// The proof of authentication that a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pass {
    /// The cluster requires no token.
    Open,
    Token(MetadataValue<Ascii>),
}

impl Pass {
    pub(super) fn show<T>(&self, request: &mut Request<T>) {
        if let Self::Token(token) = self {
            request.metadata_mut().insert(TOKEN, token.clone());
        }
    }
}

impl Authenticator {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            pass: Mutex::new(None),
        }
    }

    /// Returns the current pass, or acquires a new one. Of concurrent callers over one connection,
    /// one acquires it for all.
    pub(super) async fn pass(&self, connection: &EtcdConnection) -> Result<Pass, Status> {
        if let Some(pass) = self.present() {
            return Ok(pass);
        }
        let _turn = connection.authenticating().await;
        if let Some(pass) = self.present() {
            return Ok(pass);
        }
        let pass = self.authenticate(connection).await?;
        *self.lock() = Some(pass.clone());
        Ok(pass)
    }

    /// Drops a pass that was refused, if it is still the current one.
    pub(super) fn forget(&self, refused: &Pass) {
        let mut pass = self.lock();
        if pass.as_ref() == Some(refused) {
            *pass = None;
        }
    }

    fn present(&self) -> Option<Pass> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Pass>> {
        self.pass.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn authenticate(&self, connection: &EtcdConnection) -> Result<Pass, Status> {
        let request = AuthenticateRequest {
            name: self.credentials.user.clone(),
            password: self.credentials.password.clone(),
        };
        let mut client = AuthClient::with_origin(connection.transport(), connection.origin());
        match client.authenticate(request).await {
            Ok(reply) => {
                let token = reply.into_inner().token.parse();
                let mut token: MetadataValue<Ascii> =
                    token.map_err(|_| Status::internal("the token is not text"))?;
                token.set_sensitive(true);
                Ok(Pass::Token(token))
            }
            Err(status)
                if status.code() == Code::FailedPrecondition
                    && status.message() == "etcdserver: authentication is not enabled" =>
            {
                Ok(Pass::Open)
            }
            Err(status) => Err(status),
        }
    }
}
