//! An attack: its name, what it does, and what else the peer has to bear meanwhile.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use crate::arena::{Arena, Findings, Target};

/// A running attack.
pub(super) type Attacking = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The outcomes that are allowed for honest starts of actors during an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HonestStarts {
    /// Each start must succeed.
    Succeed,
    /// Each start succeeds or is rejected as busy, as the attackers hold all places.
    MayBeBusy,
}

/// An attack.
#[derive(Clone, Copy)]
pub struct Attack {
    /// The name.
    pub name: &'static str,
    /// A description of the attack.
    pub about: &'static str,
    /// The numbers of connections, or of source addresses, to attack from: one round for each.
    pub connections: &'static [usize],
    /// How long it must last at least to show its effect.
    pub at_least: Duration,
    /// The outcomes that are allowed for honest starts.
    pub honest_starts: HonestStarts,
    /// Whether the peer is cut off from etcd for a second meanwhile, and has to connect again.
    pub etcd_away: bool,
    run: fn(Arena) -> Attacking,
}

impl Attack {
    /// Attacks the peer, and returns the findings. `share` is the share of a processor that the
    /// attacker may use.
    pub async fn run(
        &self,
        target: Target,
        connections: usize,
        time: Duration,
        share: Option<f64>,
    ) -> Findings {
        let arena = Arena::new(target, connections, time, share);
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
