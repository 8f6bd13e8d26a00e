//! Shared by all attacks: the target, the sources, the time, and the pace.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::findings::Findings;
use super::target::Target;
use super::throttle::{Throttle, process_time};

/// The first address that attackers connect from. Honest callers connect from 127.0.0.1.
const FIRST_SOURCE: u32 = u32::from_be_bytes([127, 0, 0, 3]);
/// How long an attacker waits after the peer has ended its connection. It comes back at once, but a
/// rejection must not lead to a loop that measures only itself.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// The conditions under which an attack takes place. Clones share them.
#[derive(Clone)]
pub(crate) struct Arena(Arc<Ground>);

struct Ground {
    target: Target,
    connections: usize,
    begun: Instant,
    cpu: Duration,
    time: Duration,
    throttle: Throttle,
    findings: Mutex<Findings>,
}

impl Arena {
    /// Creates the arena of an attack. `share` is the share of a processor that the attacker may
    /// use.
    pub(crate) fn new(
        target: Target,
        connections: usize,
        time: Duration,
        share: Option<f64>,
    ) -> Self {
        Self(Arc::new(Ground {
            target,
            connections,
            begun: Instant::now(),
            cpu: process_time(),
            time,
            throttle: Throttle::new(share),
            findings: Mutex::default(),
        }))
    }

    /// Returns the peer's name in the grid.
    pub(crate) fn peer(&self) -> &str {
        &self.0.target.peer
    }

    /// Returns the token of a mailbox, as a request on a link states it.
    pub(crate) fn token(&self, mailbox: &str) -> [u8; 16] {
        self.0.target.token(mailbox)
    }

    /// Returns the number of connections to attack from.
    pub(crate) fn connections(&self) -> usize {
        self.0.connections
    }

    /// Returns the time that is left.
    pub(crate) fn left(&self) -> Duration {
        self.0.time.saturating_sub(self.0.begun.elapsed())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// Blocks until the attacker is within its share of a processor.
    pub(crate) fn pace(&self) {
        self.0.throttle.pace();
    }

    /// Updates the findings.
    pub(crate) fn found(&self, count: impl FnOnce(&mut Findings)) {
        count(&mut self.findings());
    }

    /// Records that the peer broke a promise.
    pub(crate) fn fail(&self, what: &str) {
        self.found(|found| *found.failures.entry(what.to_owned()).or_default() += 1);
    }

    /// Returns the findings, at the end.
    pub(crate) fn conclude(&self) -> Findings {
        let mut findings = self.findings().clone();
        let cpu = process_time().saturating_sub(self.0.cpu).as_secs_f64();
        findings.cpu_share = cpu / self.0.begun.elapsed().as_secs_f64().max(0.001);
        findings
    }

    /// Connects from the source address that belongs to this index.
    pub(crate) async fn connect(&self, index: usize) -> io::Result<TcpStream> {
        self.pace();
        let socket = TcpSocket::new_v4()?;
        // Many short connections must not use up the ports of an address.
        socket.set_reuseaddr(true)?;
        let source = Ipv4Addr::from_bits(FIRST_SOURCE + (index % 200) as u32);
        socket.bind(SocketAddr::from((source, 0)))?;
        let connected = socket.connect(self.0.target.address).await;
        let connected = connected.and_then(|stream| {
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        self.found(|found| match &connected {
            Ok(_) => found.connections += 1,
            Err(_) => found.unreachable += 1,
        });
        connected
    }

    /// Attacks from each connection at once, again as soon as an attack is done or the peer has
    /// ended its connection, until the time is over.
    pub(crate) async fn attack_again<A, F>(&self, attack: A)
    where
        A: Fn(Arena, usize) -> F + Clone + Send + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        self.attack_from_many(1, attack).await;
    }

    /// The same with `at_a_time` connections for each of the attack's connections, from the same
    /// source address.
    pub(crate) async fn attack_from_many<A, F>(&self, at_a_time: usize, attack: A)
    where
        A: Fn(Arena, usize) -> F + Clone + Send + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        self.each(self.connections() * at_a_time, move |arena, task| {
            let attack = attack.clone();
            async move {
                while !arena.is_over() {
                    let attacking = attack(arena.clone(), task / at_a_time);
                    match tokio::time::timeout(arena.left(), attacking).await {
                        Ok(Ok(())) => tokio::task::yield_now().await,
                        Ok(Err(_)) => {
                            arena.found(|found| found.closed += 1);
                            tokio::time::sleep(RECONNECT_PAUSE).await;
                        }
                        Err(_) => {}
                    }
                }
            }
        })
        .await;
    }

    /// Runs `count` tasks at once, and waits until each has ended.
    pub(crate) async fn each<A, F>(&self, count: usize, work: A)
    where
        A: Fn(Arena, usize) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        for index in 0..count {
            tasks.spawn(work(self.clone(), index));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                self.fail(&format!("the attack itself failed: {error}"));
            }
        }
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.0
            .findings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
