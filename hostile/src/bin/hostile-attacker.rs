//! Runs one attack in its own process. Prints its findings as a line of JSON at the end.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hostile::arena::{MailboxToken, Target};
use hostile::attack::attack_named;
use rustix::process::{Resource, getrlimit, setrlimit};

/// The descriptors that the attacks with the most connections need.
const DESCRIPTORS: u64 = 4_500;

/// Attacks a peer.
#[derive(Parser)]
struct Options {
    /// The attack's name.
    attack: String,
    /// The peer's address.
    #[arg(long)]
    target: SocketAddr,
    /// The peer's name in the grid.
    #[arg(long)]
    peer: String,
    /// The token of a mailbox, as `mailbox=token`; may be given several times.
    #[arg(long = "token")]
    tokens: Vec<MailboxToken>,
    /// The number of connections, or of source addresses.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// How long to attack, in seconds.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// The share of a processor that the attacker may use; no limit by default.
    #[arg(long)]
    share: Option<f64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    let Some(attack) = attack_named(&options.attack) else {
        eprintln!("hostile-attacker: there is no attack {:?}", options.attack);
        return ExitCode::FAILURE;
    };
    raise_descriptors();
    let time = Duration::from_secs_f64(options.seconds);
    let target = Target {
        address: options.target,
        peer: options.peer,
        tokens: options.tokens,
    };
    let findings = attack
        .run(target, options.connections, time, options.share)
        .await;
    match serde_json::to_string(&findings) {
        Ok(findings) => println!("{findings}"),
        Err(error) => eprintln!("hostile-attacker: no findings: {error}"),
    }
    ExitCode::SUCCESS
}

/// Raises the limit of descriptors as far as the system allows.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("hostile-attacker: cannot raise the limit of descriptors: {error}");
    }
    if limit.maximum.is_some_and(|maximum| maximum < DESCRIPTORS) {
        eprintln!("hostile-attacker: an attack needs more descriptors: {limit:?}");
    }
}
