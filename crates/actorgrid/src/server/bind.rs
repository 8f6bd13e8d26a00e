//! Brings a server up on a listener: serves the wire, joins the grid, and starts the supervisor.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::actor::ActorTable;
use super::counters::ServerCounters;
use super::error::ServerError;
use super::handle::ServerHandle;
use super::peer_core::{PeerConfig, PeerCore};
use super::server::Server;
use super::settings::CheckedSettings;
use super::state::ServerState;
use super::supervisor::{ANSWER_BOUND, supervise};
use crate::address::Address;
use crate::client::Client;
use crate::environment::Listener;
use crate::mailbox::MailboxTable;
use crate::route::LocalRoute;
use crate::route::serving::{ProcessServer, ServerConfig};
use crate::session::{Identity, JoinError, Session};
use crate::token::Token;

pub(super) async fn serve(
    settings: CheckedSettings,
    listener: Listener,
) -> Result<Server, ServerError> {
    let bound = listener
        .local_addr()
        .map_err(|error| ServerError::listen("the listener", error))?;
    let identity = Identity {
        address: advertised(settings.advertise.as_deref(), bound)?,
        namespace: settings.namespace,
        annotations: settings.annotations,
    };
    let PeerConfig {
        environment,
        lease_ttl,
        ..
    } = &settings.config;
    let table: Arc<MailboxTable> = Arc::default();
    let serving = watch::Sender::new(None);
    // Before the peer joins, which can take as long as a lease: health checks get an answer then.
    let process = ProcessServer::start(
        environment.clone(),
        listener,
        table.clone(),
        serving.subscribe(),
        ServerConfig {
            namespace: identity.namespace.clone(),
            max_message_bytes: settings.max_message_bytes,
        },
    );
    let joined = Session::join(
        environment,
        &settings.registry,
        &identity,
        *lease_ttl,
        false,
    )
    .await;
    let session = match joined {
        Ok(session) => session,
        Err(error) => {
            process.shutdown(ANSWER_BOUND).await;
            return Err(match error {
                JoinError::Registry(error) => ServerError::registry(error),
                JoinError::AddressInUse { holder } => {
                    let cluster = settings.registry.backend().cluster();
                    let token = Token::new(cluster, holder.created);
                    ServerError::address_in_use(&identity.address, &holder.key, token)
                }
            });
        }
    };
    let client = Client::of_server(
        identity.namespace.clone(),
        settings.registry.clone(),
        environment.clone(),
        settings.max_message_bytes,
        identity.peer().clone(),
        LocalRoute::new(table.clone(), settings.max_message_bytes),
    );
    let environment = environment.clone();
    let core = Arc::new(PeerCore {
        config: settings.config,
        registry: settings.registry,
        identity,
        actor_types: settings.actor_types,
        table,
        actors: Arc::new(ActorTable::new(settings.max_actors)),
        counters: ServerCounters::default(),
        accepted: process.counters().clone(),
        client,
        state: watch::Sender::new(ServerState::Starting),
        events: settings.events,
        fence_reason: Mutex::new(None),
        serving,
        owner: Mutex::new(None),
        shutdown: CancellationToken::new(),
        result: Mutex::new(None),
    });
    let supervisor = environment.spawn(supervise(core.clone(), session, process));
    let handle = ServerHandle { core };
    let server = Server::new(handle, supervisor);
    server.wait_for(ServerState::Serving).await;
    Ok(server)
}

/// The address for other peers.
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
