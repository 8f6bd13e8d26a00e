//! An attack: what it is called, what it does, and what the peer is put to besides.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use crate::arena::{Arena, Findings};

/// A running attack.
pub(super) type Attacking = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What honest starts of actors may come to during an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HonestStarts {
    /// Each succeeds.
    Succeed,
    /// Each succeeds or is rejected as busy: the attackers hold what there is.
    MayBeBusy,
}

/// One attack.
#[derive(Clone, Copy)]
pub struct Attack {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// From how many connections, or source addresses, it is done: once from each.
    pub connections: &'static [usize],
    /// How long it must last to see what it comes to.
    pub at_least: Duration,
    /// What honest starts may come to.
    pub honest_starts: HonestStarts,
    /// The peer is cut off from etcd for a second meanwhile, and has to connect again.
    pub etcd_away: bool,
    run: fn(Arena) -> Attacking,
}

impl Attack {
    /// Attacks the peer at `target`, called `peer`, and returns what was found. `share` is that of
    /// a processor which the attacker may use.
    pub async fn run(
        &self,
        target: SocketAddr,
        peer: String,
        connections: usize,
        time: Duration,
        share: Option<f64>,
    ) -> Findings {
        let arena = Arena::new(target, peer, connections, time, share);
        (self.run)(arena.clone()).await;
        arena.conclude()
    }

    pub(super) const fn new(
        name: &'static str,
        about: &'static str,
        run: fn(Arena) -> Attacking,
    ) -> Self {
        Self {
            name,
            about,
            connections: &[1, 4, 16],
            at_least: Duration::ZERO,
            honest_starts: HonestStarts::Succeed,
            etcd_away: false,
            run,
        }
    }

    pub(super) const fn with_connections(self, connections: &'static [usize]) -> Self {
        Self {
            connections,
            ..self
        }
    }

    pub(super) const fn lasts(self, seconds: u64) -> Self {
        Self {
            at_least: Duration::from_secs(seconds),
            ..self
        }
    }

    pub(super) const fn while_etcd_is_away(self) -> Self {
        Self {
            etcd_away: true,
            ..self
        }
    }

    pub(super) const fn honest_starts_may_be_busy(self) -> Self {
        Self {
            honest_starts: HonestStarts::MayBeBusy,
            ..self
        }
    }
}

impl fmt::Debug for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attack").field(&self.name).finish()
    }
}
