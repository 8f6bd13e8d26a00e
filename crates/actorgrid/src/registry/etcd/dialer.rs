//! Opens connections to the endpoints of a cluster.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Uri;
use tonic::{Request, Status};

use super::auth::Authenticator;
use super::connection::{ConnectionTasks, EtcdConnection};
use super::io::Io;
use super::security::Security;
use super::status::{self, Meaning};
#[cfg(feature = "tls")]
use super::tls;
use crate::address::Address;
use crate::environment::{Environment, Socket};
use crate::registry::{RegistryError, RegistryErrorKind};
use crate::token::ClusterId;
use crate::wire::etcd::StatusRequest;
use crate::wire::etcd::maintenance_client::MaintenanceClient;

/// The time limit for opening a connection, including etcd's first reply: several round trips
/// around the world.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens connections to the endpoints of one cluster.
pub(super) struct Dialer {
    pub(super) environment: Environment,
    pub(super) security: Security,
    /// Shared with the dialer of [dedicated](super::endpoints::Endpoints::dedicated) endpoints, so
    /// that etcd checks a password once for both.
    pub(super) authenticator: Option<Arc<Authenticator>>,
    /// The cluster, once it is known. From then on no other one is used.
    pub(super) cluster: OnceLock<ClusterId>,
    pub(super) tasks: ConnectionTasks,
}

impl Dialer {
    /// Checks the cluster that a reply came from. Fails if it is not the right one.
    pub(super) fn verify(
        &self,
        address: &Address,
        cluster: ClusterId,
    ) -> Result<(), RegistryError> {
        match self.cluster.get() {
            Some(&pinned) if pinned != cluster => {
                tracing::error!(
                    %address, %cluster, %pinned, "an etcd endpoint belongs to another cluster"
                );
                Err(wrong_cluster(address, cluster, pinned))
            }
            _ => Ok(()),
        }
    }

    /// Opens a connection, over which etcd has already replied that it belongs to the right
    /// cluster.
    pub(super) async fn open(
        &self,
        address: &Address,
        origin: &Uri,
    ) -> Result<(EtcdConnection, ClusterId), RegistryError> {
        let opening = self
            .environment
            .timeout(OPEN_TIMEOUT, self.greet(address, origin));
        let (connection, cluster) = opening
            .await
            .unwrap_or_else(|| Err("no reply in time".into()))
            .map_err(|error| unreachable(address, error))?;
        self.verify(address, cluster)?;
        Ok((connection, cluster))
    }

    async fn greet(
        &self,
        address: &Address,
        origin: &Uri,
    ) -> Result<(EtcdConnection, ClusterId), OpenFailure> {
        let socket = self.environment.connect(address).await?;
        self.speak(address, origin, socket).await.map_err(|error| {
            // A cluster that has replied before is assumed to still use TLS.
            if self.security.is_plain() || self.cluster.get().is_some() || error.is::<Status>() {
                error
            } else {
                Box::new(BrokeOff(error))
            }
        })
    }

    async fn speak(
        &self,
        address: &Address,
        origin: &Uri,
        socket: Socket,
    ) -> Result<(EtcdConnection, ClusterId), OpenFailure> {
        let io: Box<dyn Io> = match &self.security {
            Security::Plain => Box::new(socket),
            #[cfg(feature = "tls")]
            Security::Tls(tls) => tls.secure(address.host(), socket).await?,
        };
        #[cfg(not(feature = "tls"))]
        let _ = address;
        let connection = EtcdConnection::begin(&self.tasks, io, origin.clone()).await?;
        match self.ask_cluster(&connection).await {
            Ok(cluster) => Ok((connection, cluster)),
            Err(status) => Err(
                match (connection.read_failure(), status::meaning(&status)) {
                    (Some(error), _) => error.into(),
                    (None, Meaning::NotSent | Meaning::Broken) => status.message().into(),
                    (None, _) => status.into(),
                },
            ),
        }
    }

    /// Asks etcd for its cluster. Some versions reply to anyone, others only to authenticated
    /// users.
    async fn ask_cluster(&self, connection: &EtcdConnection) -> Result<ClusterId, Status> {
        let mut client =
            MaintenanceClient::with_origin(connection.transport(), connection.origin());
        let mut authenticated = false;
        loop {
            let mut request = Request::new(StatusRequest {});
            let mut shown = None;
            if let Some(authenticator) = &self.authenticator {
                let pass = authenticator.pass(connection).await?;
                pass.show(&mut request);
                shown = Some((authenticator, pass));
            }
            match (client.status(request).await, shown) {
                (Ok(reply), shown) => {
                    let reply = reply.into_inner();
                    connection.learn_version(&reply.version);
                    let header = reply.header;
                    let header =
                        header.ok_or_else(|| Status::internal("the reply has no header"))?;
                    let cluster = ClusterId(header.cluster_id);
                    // The pass belongs to another cluster, so it is useless.
                    if let Some((authenticator, pass)) = shown
                        && self.cluster.get().is_some_and(|pinned| *pinned != cluster)
                    {
                        authenticator.forget(&pass);
                    }
                    return Ok(cluster);
                }
                (Err(status), Some((authenticator, pass)))
                    if !authenticated && status::meaning(&status) == Meaning::Token =>
                {
                    authenticated = true;
                    authenticator.forget(&pass);
                }
                (Err(status), _) => return Err(status),
            }
        }
    }
}

pub(super) fn wrong_cluster(
    address: &Address,
    cluster: ClusterId,
    pinned: ClusterId,
) -> RegistryError {
    RegistryError::new(
        RegistryErrorKind::WrongCluster,
        format!("etcd at {address} belongs to the cluster {cluster}, not to {pinned}"),
    )
}

pub(super) fn unreachable(address: &Address, error: OpenFailure) -> RegistryError {
    let status = error.downcast_ref::<Status>();
    let said = status.map_or_else(|| error.to_string(), |status| status.message().to_owned());
    let mut text = format!("etcd at {address} cannot be reached: {said}");
    if let Some(meaning @ (Meaning::Token | Meaning::Refused(RegistryErrorKind::Auth))) =
        status.map(status::meaning)
    {
        return status::error(&meaning, &text).caused_by(error);
    }
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    #[cfg(feature = "tls")]
    let is_tls = tls::is_cause(&*error);
    #[cfg(not(feature = "tls"))]
    let is_tls = false;
    let kind = match is_tls || error.is::<BrokeOff>() {
        true => RegistryErrorKind::Tls,
        false => RegistryErrorKind::Unavailable,
    };
    RegistryError::new(kind, text).caused_by(error)
}

pub(super) type OpenFailure = Box<dyn std::error::Error + Send + Sync>;

/// The failure of a connection over TLS that broke off before the cluster had ever replied. The
/// other side's last message, which would say why, is often lost.
#[derive(Debug)]
struct BrokeOff(OpenFailure);

impl fmt::Display for BrokeOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the connection over TLS broke off: check that etcd speaks TLS there, and that it \
             accepts the client's certificate",
        )
    }
}

impl std::error::Error for BrokeOff {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}
