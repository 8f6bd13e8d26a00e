//! The setting of one or more rounds: an etcd, the peer, and the honest callers.

use std::path::PathBuf;
use std::time::Duration;

use actorgrid::{BoxError, Client, Kind, Registry};
use testbed::{Etcd, Proxy};
use tokio::task::block_in_place;

use super::peer_process::PeerProcess;
use super::verdict::Quiet;
use crate::arena::MailboxToken;
use crate::honest::Callers;
use crate::peer::NAMESPACE;

/// Callers connect and look up before their calls count.
const WARM_UP: Duration = Duration::from_millis(500);

/// The options of a bed.
#[derive(Debug, Clone)]
pub struct BedOptions {
    /// The folder of the programs `hostile-peer` and `hostile-attacker`.
    pub programs: PathBuf,
    /// The time to live of the peer's lease, in seconds.
    pub lease_ttl: u64,
    /// The number of descriptors that the peer may open, if it is limited.
    pub descriptors: Option<u64>,
    /// How long to measure without an attack.
    pub quiet_time: Duration,
}

/// An etcd, the peer, and the honest callers. When dropped, all of them end.
pub struct Bed {
    pub(super) options: BedOptions,
    pub(super) callers: Callers,
    pub(super) peer: PeerProcess,
    /// The tokens of the peer's mailboxes.
    pub(super) tokens: Vec<MailboxToken>,
    /// The peer's connection to etcd, which can be cut. Honest callers have their own.
    pub(super) etcd_of_peer: Proxy,
    _etcd: Etcd,
    /// The figures without an attack.
    pub quiet: Quiet,
}

impl Bed {
    /// Starts everything and measures without an attack. Requires a multi-threaded runtime.
    ///
    /// # Errors
    ///
    /// Fails if the peer does not serve, or if honest calls fail without an attack.
    pub async fn start(options: &BedOptions) -> Result<Self, BoxError> {
        let etcd = block_in_place(Etcd::start);
        let program = options.programs.join("hostile-peer");
        let (ttl, descriptors) = (options.lease_ttl, options.descriptors);
        let etcd_of_peer = Proxy::of(etcd.address());
        let registry = format!("etcd://{}", etcd_of_peer.address());
        let peer = block_in_place(|| PeerProcess::start(&program, &registry, ttl, descriptors))?;
        let callers = Callers::start(&etcd.url(), &peer.name).await?;
        let tokens = tokens_of_mailboxes(&etcd.url()).await?;
        tokio::time::sleep(WARM_UP).await;
        let phase = callers.begin();
        tokio::time::sleep(options.quiet_time).await;
        // Later calls must not count for the phase.
        let _ = callers.begin();
        let honest = phase.figures().await;
        let report = block_in_place(|| peer.report()).ok_or("the peer reports nothing")?;
        if honest.failed() > 0 {
            return Err(format!("honest calls fail without an attack: {:?}", honest.errors).into());
        }
        Ok(Self {
            options: options.clone(),
            callers,
            peer,
            tokens,
            etcd_of_peer,
            _etcd: etcd,
            quiet: Quiet {
                p99: honest.latencies(0.99),
                report,
            },
        })
    }
}

/// Reads the tokens of all mailboxes from the registry, as any client of the grid can.
async fn tokens_of_mailboxes(registry: &str) -> Result<Vec<MailboxToken>, BoxError> {
    let client = Client::new(NAMESPACE, Registry::connect(registry).await?);
    let registered = client.query(Kind::Mailbox).await?;
    client.close().await;
    let tokens = registered.into_iter().map(|mailbox| MailboxToken {
        mailbox: mailbox.name.to_string(),
        token: mailbox.token,
    });
    Ok(tokens.collect())
}
