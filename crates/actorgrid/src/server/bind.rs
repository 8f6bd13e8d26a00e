//! Brings a server up on a listener: serves the wire, and starts the supervisor, which joins the
//! grid.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::actor::ActorTable;
use super::counters::ServerCounters;
use super::error::ServerError;
use super::handle::ServerHandle;
use super::peer_core::PeerCore;
use super::server::Server;
use super::settings::CheckedSettings;
use super::state::ServerState;
use super::supervisor::{PeerRoutes, supervise};
use crate::address::Address;
use crate::client::Client;
use crate::environment::Listener;
use crate::mailbox::MailboxTable;
use crate::registry::Incarnation;
use crate::route::LocalRoute;
use crate::route::announced_link;
use crate::route::serving::{ProcessServer, ServerConfig};
use crate::session::Identity;

pub(super) async fn serve(
    settings: CheckedSettings,
    listener: Listener,
) -> Result<Server, ServerError> {
    let bound = listener
        .local_addr()
        .map_err(|error| ServerError::listen("the listener", error))?;
    let environment = settings.config.environment.clone();
    let incarnation = settings
        .link
        .then(|| Incarnation::new(environment.random_u64()));
    let identity = Identity {
        address: advertised(settings.advertise.as_deref(), bound)?,
        namespace: settings.namespace,
        annotations: settings.annotations,
        link: incarnation.map(announced_link),
    };
    let table: Arc<MailboxTable> = Arc::default();
    let serving = watch::Sender::new(None);
    // Before the peer joins, which can take as long as a lease: health checks are answered
    // meanwhile.
    let process = ProcessServer::start(
        environment.clone(),
        listener,
        table.clone(),
        serving.subscribe(),
        ServerConfig {
            namespace: identity.namespace.clone(),
            max_message_bytes: settings.max_message_bytes,
            bounds: settings.bounds.within_descriptors(&environment),
            incarnation,
        },
    );
    let (local, deadlines) =
        LocalRoute::start(table.clone(), settings.max_message_bytes, &environment);
    let client = Client::of_server(
        identity.namespace.clone(),
        settings.registry.clone(),
        environment.clone(),
        settings.max_message_bytes,
        settings.link,
        identity.peer().clone(),
        local,
    );
    let core = Arc::new(PeerCore {
        config: settings.config,
        registry: settings.registry,
        identity,
        actor_types: settings.actor_types,
        table,
        actors: Arc::new(ActorTable::new(settings.max_actors)),
        starts: Arc::default(),
        counters: ServerCounters::default(),
        wire: process.gauges().clone(),
        accepting_deaths: process.deaths().clone(),
        client,
        state: watch::Sender::new(ServerState::Starting),
        events: settings.events,
        fence_reason: Mutex::new(None),
        serving,
        owner: Mutex::new(None),
        shutdown: CancellationToken::new(),
        result: Mutex::new(None),
    });
    let (joined, outcome) = oneshot::channel();
    let routes = PeerRoutes { process, deadlines };
    // Owned by the future of `bind`, and then by the server. The task continues while the future is
    // not polled. Dropping the future cannot join the task; instead, it asks the task to shut down.
    // While it joins, the task frees the port at once and limits the rest to a little more than the
    // lease's time to live; once it serves, it shuts down as for `ServerHandle::shutdown`.
    let supervisor = environment.spawn(supervise(core.clone(), routes, joined));
    let starting = Starting {
        parts: Some((ServerHandle { core }, supervisor)),
    };
    match outcome.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error),
        // The task has ended: the runtime is shutting down, or the task panicked.
        Err(_) => return Err(ServerError::aborted()),
    }
    starting.serving().await
}

/// A server that is being started. Dropping it abandons the start.
struct Starting {
    parts: Option<(ServerHandle, JoinHandle<()>)>,
}

impl Starting {
    /// Waits until the server is serving, and returns it.
    async fn serving(mut self) -> Result<Server, ServerError> {
        if let Some((handle, _)) = &self.parts {
            handle.wait_for(ServerState::Serving).await;
        }
        let (handle, supervisor) = self.parts.take().ok_or_else(ServerError::aborted)?;
        Ok(Server::new(handle, supervisor))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some((handle, _)) = &self.parts {
            handle.core.shutdown.cancel();
        }
    }
}

/// Returns the address that other peers use.
fn advertised(advertise: Option<&str>, bound: SocketAddr) -> Result<Address, ServerError> {
    let Some(text) = advertise else {
        return Address::try_from(bound)
            .map_err(|error| ServerError::configuration("address", error));
    };
    let text = match text.strip_suffix(":0") {
        Some(host) => format!("{host}:{}", bound.port()),
        None => text.to_owned(),
    };
    text.parse()
        .map_err(|error| ServerError::configuration("advertise", error))
}
