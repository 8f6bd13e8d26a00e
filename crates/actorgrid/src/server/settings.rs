//! The settings of a server, their defaults and limits, and the code that checks them.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::actor::ActorType;
use super::error::ServerError;
use super::events::EventSource;
use super::peer_core::PeerConfig;
use super::wire_settings::WireSettings;
use crate::environment::{Environment, MAX_DEADLINE};
use crate::name::{Name, Namespace};
use crate::registry::Registry;
use crate::route::DEFAULT_MAX_MESSAGE_BYTES;
use crate::route::serving::WireBounds;

/// The default time to live of a peer's lease: 15 s.
pub const DEFAULT_LEASE_TTL: Duration = Duration::from_secs(15);
/// The shortest time to live of a lease: 5 s. A shorter one would leave no margin for late renewals
/// and for clocks that differ.
pub const MIN_LEASE_TTL: Duration = Duration::from_secs(5);
/// The shortest and the longest `max_stall`, the time for which the runtime may stall. A shorter
/// one would fence peers for delays that every process has on a busy machine. With a longer one, a
/// stalled peer would keep its names for so long that the setting can only be a mistake.
const STALL_LIMITS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// The shortest and the longest `join_timeout`, the time for which a first start waits while
/// another holder has its address.
const JOIN_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
/// The default time within which actors must end after they are asked to stop: 10 s.
pub const DEFAULT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The default time that a constructor may take: 30 s. That is enough to load the state that an
/// actor keeps in memory, and constructors that hang do not block other starts for longer.
pub const DEFAULT_CONSTRUCTOR_TIMEOUT: Duration = Duration::from_secs(30);

/// The default limit on the number of actors that a peer runs at once: 1,000,000, which take a few
/// gigabytes.
pub const DEFAULT_MAX_ACTORS: usize = 1_000_000;

/// The shortest and the longest `constructor_timeout`. A shorter one would drop almost every
/// constructor that awaits anything. A longer one would be useless, because nobody waits for a
/// start for longer than the longest deadline.
const CONSTRUCTOR_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=MAX_DEADLINE;
/// The longest time to live of a lease. With a longer one, a crashed peer would keep its names for
/// so long that the setting can only be a mistake.
const MAX_LEASE_TTL: Duration = Duration::from_secs(3600);
/// The maximum number of annotations of a peer, and the maximum number of bytes of each. They are
/// limited because every listing includes them.
const MAX_ANNOTATIONS: usize = 64;
const MAX_ANNOTATION_BYTES: usize = 256;

/// The settings of a server as they were given, not checked yet.
pub(super) struct ServerSettings {
    pub(super) namespace: String,
    pub(super) registry: Registry,
    pub(super) environment: Environment,
    pub(super) actor_types: Vec<ActorType>,
    pub(super) annotations: Vec<String>,
    pub(super) advertise: Option<String>,
    pub(super) lease_ttl: Duration,
    pub(super) join_timeout: Option<Duration>,
    pub(super) max_stall: Option<Duration>,
    pub(super) shutdown_timeout: Duration,
    pub(super) constructor_timeout: Duration,
    pub(super) max_message_bytes: usize,
    pub(super) max_actors: usize,
    pub(super) wire: WireSettings,
    pub(super) link: bool,
    pub(super) leadership: bool,
    pub(super) abort_process_when_stuck: bool,
    pub(super) events: EventSource,
}

/// Settings that have passed [`ServerSettings::check`]. The address to advertise is checked later,
/// with the address that the server listens on.
pub(super) struct CheckedSettings {
    pub(super) namespace: Namespace,
    pub(super) registry: Registry,
    pub(super) actor_types: HashMap<Name, ActorType>,
    pub(super) annotations: Arc<[String]>,
    pub(super) advertise: Option<String>,
    pub(super) max_message_bytes: usize,
    pub(super) max_actors: usize,
    pub(super) bounds: WireBounds,
    pub(super) link: bool,
    pub(super) config: PeerConfig,
    pub(super) events: EventSource,
}

impl ServerSettings {
    pub(super) fn new(namespace: String, registry: Registry) -> Self {
        Self {
            namespace,
            registry,
            environment: Environment::real(),
            actor_types: Vec::new(),
            annotations: Vec::new(),
            advertise: None,
            lease_ttl: DEFAULT_LEASE_TTL,
            join_timeout: None,
            max_stall: None,
            shutdown_timeout: DEFAULT_SHUTDOWN_TIMEOUT,
            constructor_timeout: DEFAULT_CONSTRUCTOR_TIMEOUT,
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            max_actors: DEFAULT_MAX_ACTORS,
            wire: WireSettings::default(),
            link: true,
            leadership: true,
            abort_process_when_stuck: false,
            events: EventSource::new(),
        }
    }

    /// Checks the settings. The error names the first one that is not valid.
    pub(super) fn check(self) -> Result<CheckedSettings, ServerError> {
        let namespace = Namespace::new(&self.namespace)
            .map_err(|error| ServerError::configuration("namespace", error))?;
        if !(MIN_LEASE_TTL..=MAX_LEASE_TTL).contains(&self.lease_ttl) {
            let why = format!("{:?} is not between 5 s and 1 h", self.lease_ttl);
            return Err(ServerError::setting("lease_ttl", why));
        }
        if !CONSTRUCTOR_TIMEOUTS.contains(&self.constructor_timeout) {
            let why = format!("{:?} is not between 1 ms and 1 h", self.constructor_timeout);
            return Err(ServerError::setting("constructor_timeout", why));
        }
        let join_timeout = self
            .join_timeout
            .unwrap_or_else(|| join_timeout(self.lease_ttl));
        if !JOIN_TIMEOUTS.contains(&join_timeout) {
            let why = format!("{join_timeout:?} is not between 1 s and 24 h");
            return Err(ServerError::setting("join_timeout", why));
        }
        let max_stall = self.max_stall.unwrap_or(self.lease_ttl);
        if !STALL_LIMITS.contains(&max_stall) {
            let why = format!("{max_stall:?} is not between 1 s and 1 h");
            return Err(ServerError::setting("max_stall", why));
        }
        if !(1..=1 << 30).contains(&self.max_message_bytes) {
            let why = format!("{} is not between 1 byte and 1 GiB", self.max_message_bytes);
            return Err(ServerError::setting("max_message_bytes", why));
        }
        Ok(CheckedSettings {
            namespace,
            registry: self.registry,
            actor_types: check_actor_types(self.actor_types)?,
            annotations: check_annotations(self.annotations)?,
            advertise: self.advertise,
            max_message_bytes: self.max_message_bytes,
            max_actors: self.max_actors,
            link: self.link,
            bounds: self.wire.check(self.max_message_bytes)?,
            events: self.events,
            config: PeerConfig {
                environment: self.environment,
                lease_ttl: self.lease_ttl,
                join_timeout,
                max_stall,
                shutdown_timeout: self.shutdown_timeout,
                constructor_timeout: self.constructor_timeout,
                leadership: self.leadership,
                abort_process_when_stuck: self.abort_process_when_stuck,
            },
        })
    }
}

/// Returns the default `join_timeout`. The lease of a holder that has crashed expires after one
/// time to live, but that time starts again whenever etcd changes its leader. The default covers
/// two such changes in a row, and the delay with which a registry notices that a lease has expired.
fn join_timeout(lease_ttl: Duration) -> Duration {
    3 * lease_ttl + Duration::from_secs(3)
}

/// Checks the annotations, and returns them sorted.
fn check_annotations(mut annotations: Vec<String>) -> Result<Arc<[String]>, ServerError> {
    let too_long = |text: &String| text.len() > MAX_ANNOTATION_BYTES;
    if annotations.len() > MAX_ANNOTATIONS || annotations.iter().any(too_long) {
        let why =
            format!("at most {MAX_ANNOTATIONS}, of at most {MAX_ANNOTATION_BYTES} bytes each");
        return Err(ServerError::setting("annotation", why));
    }
    annotations.sort();
    Ok(annotations.into())
}

/// Checks the actor types, and returns them by name.
fn check_actor_types(actor_types: Vec<ActorType>) -> Result<HashMap<Name, ActorType>, ServerError> {
    let mut by_name = HashMap::new();
    for actor_type in actor_types {
        let setting = format!("actor type {:?}", actor_type.name);
        let name = Name::new(&actor_type.name)
            .map_err(|error| ServerError::configuration(&setting, error))?;
        if let Some(declared) = &actor_type.declared {
            declared
                .check()
                .map_err(|error| ServerError::configuration(&setting, error))?;
        }
        if by_name.insert(name, actor_type).is_some() {
            return Err(ServerError::setting(&setting, "registered twice"));
        }
    }
    Ok(by_name)
}
