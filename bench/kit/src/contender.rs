//! The program around a contender.

use std::io::Read as _;
use std::pin::Pin;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::time::sleep_until;

use crate::about::About;
use crate::caller::{BoxError, Caller};
use crate::closed_loop::closed_loop;
use crate::command_line::{ContenderCommand, EchoOptions, LoadOptions};
use crate::large_messages::send_large;
use crate::load_report::LoadReport;
use crate::loss::lose;
use crate::open_loop::open_loop;
use crate::tally::Tally;
use crate::window::Window;

/// A way to send requests from one process to another.
pub trait Contender {
    /// Its calling side.
    type Caller: Caller;

    /// Describes it for the report.
    fn about() -> About;

    /// Starts the side that echoes.
    fn serve(options: &EchoOptions) -> impl Future<Output = Result<Served, BoxError>>;

    /// Connects to an echo.
    fn connect(options: &LoadOptions) -> impl Future<Output = Result<Self::Caller, BoxError>>;

    /// A caller of another echo that shares the client, for contenders that have such a client.
    fn bystander(_caller: &Self::Caller, _address: &str) -> Option<Result<Self::Caller, BoxError>> {
        None
    }

    /// Keeps requests in flight. A contender that has a cheaper way than a task per request, and no
    /// promise that depends on one, may use it: it is then a bound and says so.
    fn closed_loop(
        caller: &Self::Caller,
        window: Window,
        in_flight: usize,
        bytes: usize,
    ) -> impl Future<Output = Tally> {
        closed_loop(caller, window, in_flight, bytes)
    }
}

/// An echo that has started.
pub struct Served {
    address: String,
    stop: Pin<Box<dyn Future<Output = Result<(), BoxError>>>>,
}

impl Served {
    /// An echo at this address, which the load takes. It ends with its process.
    #[must_use]
    pub fn at(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            stop: Box::pin(std::future::ready(Ok(()))),
        }
    }

    /// How it is stopped.
    #[must_use]
    pub fn stopped_by(
        mut self,
        stop: impl Future<Output = Result<(), BoxError>> + 'static,
    ) -> Self {
        self.stop = Box::pin(stop);
        self
    }
}

/// The `main` of a contender.
#[must_use]
pub fn run_contender<C: Contender>() -> ExitCode {
    let done = match ContenderCommand::parse() {
        ContenderCommand::About => print_json(&C::about()),
        ContenderCommand::Echo(options) => {
            run(options.worker_threads, async { echo::<C>(&options).await })
        }
        ContenderCommand::Load(options) => {
            run(options.worker_threads, async { load::<C>(&options).await })
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", C::about().name);
            ExitCode::FAILURE
        }
    }
}

fn run(
    worker_threads: Option<usize>,
    program: impl Future<Output = Result<(), BoxError>>,
) -> Result<(), BoxError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = worker_threads {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().build()?;
    let done = runtime.block_on(program);
    // Not to wait for what a library left running.
    runtime.shutdown_background();
    done
}

async fn echo<C: Contender>(options: &EchoOptions) -> Result<(), BoxError> {
    let served = C::serve(options).await?;
    println!("ready {}", served.address);
    // It ends when its parent closes its input, or dies.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    served.stop.await
}

async fn load<C: Contender>(options: &LoadOptions) -> Result<(), BoxError> {
    let caller = C::connect(options).await?;
    // The first call may look up, connect and start things, which is not to be measured.
    caller.call(&caller.message(options.bytes)).await?;
    if let Some(losing) = options.losing {
        let bystander = options.bystander.as_deref();
        let bystander = bystander
            .and_then(|address| C::bystander(&caller, address))
            .transpose()?;
        println!("begin");
        let loss = lose(&caller, bystander, options, losing).await?;
        println!("end");
        return print_json(&LoadReport {
            loss: Some(loss),
            ..LoadReport::default()
        });
    }
    let window = Window::after(options.warm_up, options.seconds);
    let large = async {
        let period = options.large_period()?;
        Some(send_large(&caller, window, options.large_bytes, period).await)
    };
    let traffic = async {
        match options.rate {
            Some(rate) => open_loop(&caller, window, rate, options.bytes).await,
            None => C::closed_loop(&caller, window, options.in_flight, options.bytes).await,
        }
    };
    let ((), large, tally) = tokio::join!(announce(window), large, traffic);
    print_json(&LoadReport {
        large,
        ..LoadReport::of(&tally, window)
    })
}

/// Prints when the window begins and ends, so that the parent can read the CPU time of both
/// processes.
async fn announce(window: Window) {
    sleep_until(window.begin.into()).await;
    println!("begin");
    sleep_until(window.end.into()).await;
    println!("end");
}

fn print_json(value: &impl serde::Serialize) -> Result<(), BoxError> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}
