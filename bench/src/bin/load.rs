//! The load generator: `load run` measures one case, `load serve` is the other process of it.

use std::process::{ExitCode, Stdio};

use actorgrid::{BoxError, Client, Registry};
use bench::{LoadCase, LoadRoute, Measurement, NAMESPACE, drive, start_actor, start_peer};
use bench_kit::{ProcessCpu, SystemCpu, Window};
use clap::Parser;
use testbed::Etcd;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Measures requests to one actor.
#[derive(Parser)]
enum Options {
    /// Measures one case; prints a line of JSON and a line of text.
    Run(RunOptions),
    /// Runs the actor's peer until the standard input ends; prints the peer's name.
    Serve {
        /// The URL of the registry.
        #[arg(long)]
        registry: String,
    },
}

#[derive(clap::Args)]
struct RunOptions {
    #[command(flatten)]
    case: LoadCase,
    /// How long to measure.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How long to send before that.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Options::parse() {
        Options::Run(options) => run(&options).await,
        Options::Serve { registry } => serve(&registry).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(registry: &str) -> Result<(), BoxError> {
    let server = start_peer(registry).await?;
    println!("{}", server.handle().peer());
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    server.handle().shutdown().await?;
    Ok(())
}

async fn run(options: &RunOptions) -> Result<(), BoxError> {
    let measurement = match options.case.route {
        LoadRoute::Local => run_local(options).await?,
        LoadRoute::Process => run_process(options).await?,
    };
    println!("{}", serde_json::to_string(&measurement)?);
    println!("{measurement}");
    Ok(())
}

async fn run_local(options: &RunOptions) -> Result<Measurement, BoxError> {
    let server = start_peer("memory:").await?;
    let handle = server.handle();
    let actor = start_actor(handle.client(), handle.peer().as_str()).await?;
    let measurement = measure(options, handle.client(), actor, None, None).await?;
    handle.shutdown().await?;
    Ok(measurement)
}

async fn run_process(options: &RunOptions) -> Result<Measurement, BoxError> {
    // It blocks until etcd answers.
    let etcd = tokio::task::spawn_blocking(Etcd::start).await?;
    let (mut child, peer) = start_serving(&etcd.url()).await?;
    let registry = Registry::connect(&etcd.url()).await?;
    let client = Client::new(NAMESPACE, registry);
    let actor = start_actor(&client, &peer).await?;
    let measurement = measure(options, &client, actor, child.id(), etcd.id()).await?;
    client.close().await;
    drop(child.stdin.take());
    child.wait().await?;
    Ok(measurement)
}

/// Starts this program as the peer of the actor, and returns the peer's name.
async fn start_serving(registry: &str) -> Result<(Child, String), BoxError> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["serve", "--registry", registry])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.stdout.take().ok_or("the peer has no output")?;
    let mut peer = String::new();
    BufReader::new(output).read_line(&mut peer).await?;
    if peer.is_empty() {
        return Err("the peer did not start".into());
    }
    Ok((child, peer.trim().to_owned()))
}

async fn measure(
    options: &RunOptions,
    client: &Client,
    actor: &'static str,
    serving: Option<u32>,
    etcd: Option<u32>,
) -> Result<Measurement, BoxError> {
    let case = options.case;
    let window = Window::after(options.warm_up, options.seconds);
    let cpu = async {
        tokio::time::sleep_until(window.begin.into()).await;
        let before = CpuReading::take(serving, etcd)?;
        tokio::time::sleep_until(window.end.into()).await;
        Ok::<_, BoxError>((before, CpuReading::take(serving, etcd)?))
    };
    let traffic = drive(client, actor, case.in_flight, case.bytes, window);
    let (cpu, traffic) = tokio::join!(cpu, traffic);
    let ((before, after), traffic) = (cpu?, traffic?);

    let requests = traffic.requests();
    if requests == 0 {
        return Err("no request was answered".into());
    }
    let caller = after.caller.since(before.caller);
    let serving = after.serving.since(before.serving);
    let own = caller.plus(serving).plus(after.etcd.since(before.etcd));
    let noise = after.system.noise_since(before.system, own);
    Ok(Measurement {
        case,
        seconds: options.seconds,
        requests_per_second: requests as f64 / options.seconds,
        p50_micros: traffic.latency(0.5).as_secs_f64() * 1e6,
        p99_micros: traffic.latency(0.99).as_secs_f64() * 1e6,
        caller_cpu_micros: caller.micros() / requests as f64,
        actor_cpu_micros: serving.micros() / requests as f64,
        noise,
    })
}

/// The CPU time that the processes of a run and the whole machine have used by one point in time.
struct CpuReading {
    caller: ProcessCpu,
    serving: ProcessCpu,
    etcd: ProcessCpu,
    system: SystemCpu,
}

impl CpuReading {
    fn take(serving: Option<u32>, etcd: Option<u32>) -> std::io::Result<Self> {
        let of = |process: Option<u32>| process.map(ProcessCpu::of).transpose();
        Ok(Self {
            caller: ProcessCpu::of(std::process::id())?,
            serving: of(serving)?.unwrap_or_default(),
            etcd: of(etcd)?.unwrap_or_default(),
            system: SystemCpu::read()?,
        })
    }
}
