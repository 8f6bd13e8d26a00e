//! The settings of a server.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::memory_etcd::MemoryEtcd;
use crate::access::Access;
use crate::bounds::Bounds;
use crate::clock::EtcdClock;
use crate::etcd_core::EtcdCore;
use crate::identity::Identity;
use crate::numbers::Numbers;
use crate::state::EtcdState;

/// Builds a [`MemoryEtcd`].
#[derive(Debug)]
#[must_use]
pub struct MemoryEtcdBuilder {
    seed: Option<u64>,
    cluster: Option<u64>,
    name: String,
    client_urls: Vec<String>,
    user: Option<(String, String)>,
    clock: Option<EtcdClock>,
    bounds: Bounds,
}

impl MemoryEtcd {
    /// Creates an empty server with the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns the settings of a new server, to change and to build.
    pub fn builder() -> MemoryEtcdBuilder {
        MemoryEtcdBuilder::new()
    }
}

impl Default for MemoryEtcd {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryEtcdBuilder {
    fn new() -> Self {
        Self {
            seed: None,
            cluster: None,
            name: "memory".to_owned(),
            client_urls: Vec::new(),
            user: None,
            clock: None,
            bounds: Bounds::default(),
        }
    }

    /// Sets the seed of all ids that the server chooses, so that they are the same in each run.
    /// Without one they are random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets the id of the cluster. By default, it follows from the seed.
    pub fn cluster(mut self, cluster: u64) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// Sets the name of the member. Default: `memory`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Adds a URL at which the list of members says that clients reach the server.
    pub fn client_url(mut self, url: impl Into<String>) -> Self {
        self.client_urls.push(url.into());
        self
    }

    /// Accepts only calls of this user, who has all permissions. By default, everybody may call.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// Sets the clock of the leases. By default, it is the runtime's.
    pub fn clock(mut self, clock: EtcdClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the limits.
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Returns the server. It serves nothing yet.
    #[must_use]
    pub fn build(self) -> MemoryEtcd {
        let random = || RandomState::new().hash_one("seed");
        let seed = self.seed.unwrap_or_else(random);
        let mut numbers = Numbers::new(seed);
        let identity = Identity {
            cluster: self.cluster.unwrap_or_else(|| numbers.next().max(1)),
            member: numbers.next().max(1),
            name: self.name,
            client_urls: self.client_urls,
            raft_term: 2,
        };
        let access = Access::new(self.user);
        let state = EtcdState::new(identity, access, self.bounds, numbers);
        let clock = self.clock.unwrap_or_default();
        MemoryEtcd::of(Arc::new(EtcdCore::new(clock, state)))
    }
}
