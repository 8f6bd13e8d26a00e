//! The command line that all contenders have.

use std::time::Duration;

/// The side of the contender to run.
#[derive(Debug, clap::Parser)]
pub(crate) enum ContenderCommand {
    /// Prints what the contender is, in JSON.
    About,
    /// Echoes until the standard input ends; prints `ready` and its address.
    Echo(EchoOptions),
    /// Loads an echo; prints `begin` and `end` at the ends of the window, and the result in JSON.
    Load(LoadOptions),
}

/// The options of the side that echoes.
#[derive(Debug, Clone, clap::Args)]
pub struct EchoOptions {
    /// The URL of the registry, for those that need one.
    #[arg(long)]
    pub registry: Option<String>,
    /// Threads of the runtime; its default otherwise.
    #[arg(long)]
    pub worker_threads: Option<usize>,
}

/// The options of the side that loads.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadOptions {
    /// The address that the echo printed after `ready`.
    #[arg(long)]
    pub address: String,
    /// The URL of the registry, for those that need one.
    #[arg(long)]
    pub registry: Option<String>,
    /// Threads of the runtime; its default otherwise.
    #[arg(long)]
    pub worker_threads: Option<usize>,
    /// The content of each message and of its answer.
    #[arg(long, default_value_t = 70)]
    pub bytes: usize,
    /// Requests in flight, each sent when the one before it is answered.
    #[arg(long, default_value_t = 64)]
    pub in_flight: usize,
    /// Requests a second instead, whatever is in flight.
    #[arg(long)]
    pub rate: Option<f64>,
    /// The length of the window.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// How long to send before that.
    #[arg(long, default_value_t = 0.3)]
    pub warm_up: f64,
    /// Sends a large message every so many milliseconds beside the others.
    #[arg(long)]
    pub large_every: Option<u64>,
    /// The content of each large message. By default 4 MiB less what an envelope may take, as that
    /// is the most that several libraries allow.
    #[arg(long, default_value_t = (4 << 20) - 1024)]
    pub large_bytes: usize,
    /// Kills or freezes the echo after the warm-up, and measures when its calls have ended.
    #[arg(long, value_enum)]
    pub losing: Option<Losing>,
    /// The process of the echo, for that.
    #[arg(long)]
    pub echo_process: Option<u32>,
    /// The address of another echo, which is called meanwhile and not lost. Contenders whose client
    /// does not have several connections ignore it.
    #[arg(long)]
    pub bystander: Option<String>,
    /// Seconds to wait for the calls to end.
    #[arg(long, default_value_t = 15.0)]
    pub give_up: f64,
}

impl LoadOptions {
    pub(crate) fn large_period(&self) -> Option<Duration> {
        self.large_every.map(Duration::from_millis)
    }
}

/// How a process is lost.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Losing {
    /// Its connections are reset.
    Killed,
    /// Its connections stay, and nothing comes.
    Frozen,
}
