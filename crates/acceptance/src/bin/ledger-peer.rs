//! A peer that keeps a ledger: it answers requests, and before it answers one, it appends an entry
//! to a file. The entries survive the process, however it ends.
//!
//! Its mailboxes are named by a prefix and a number, and the text of each request is a number. An
//! entry has 8 bytes: the number of the mailbox and that of the request, both little-endian. Once
//! all mailboxes are open, it prints `READY peer=<peer>` to stdout.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actorgrid::{BoxError, EchoMsg, Mailbox, Request};
use clap::Parser;
use examples::{GridOptions, interrupted, line, log_to_stderr};

/// The requests that a mailbox has room for.
const CAPACITY: usize = 1_000;

#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    grid: GridOptions,
    /// The file of the ledger. It is created if it does not exist.
    #[arg(long)]
    ledger: PathBuf,
    /// The beginning of the names of the mailboxes.
    #[arg(long)]
    prefix: String,
    /// The number of mailboxes.
    #[arg(long)]
    mailboxes: u32,
    /// How long a mailbox works on a request, in milliseconds.
    #[arg(long, default_value_t = 0)]
    work_ms: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    log_to_stderr();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line(format_args!("FAILED error={error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), BoxError> {
    let stop = interrupted()?;
    // Each entry is one write to the end of the file, so entries do not mix.
    let mut ledger = OpenOptions::new();
    let ledger = ledger.append(true).create(true).open(&options.ledger)?;
    let ledger = Arc::new(ledger);
    let work = Duration::from_millis(options.work_ms);
    let registry = options.grid.connect().await?;
    let servers = options.grid.serve(&registry, "acceptance", |server| server);
    let servers = servers.await?;
    let server = servers.first().ok_or("there is no peer")?;
    let mut serving = Vec::new();
    for number in 0..options.mailboxes {
        let name = format!("{}{number}", options.prefix);
        let mailbox = server.mailbox::<Request<EchoMsg>>(name, CAPACITY).await?;
        serving.push(tokio::spawn(serve(mailbox, number, ledger.clone(), work)));
    }
    line(format_args!("READY peer={}", server.peer()));
    stop.await;
    for server in &servers {
        server.shutdown().await?;
    }
    for served in serving {
        served.await??;
    }
    Ok(())
}

async fn serve(
    mut mailbox: Mailbox<Request<EchoMsg>>,
    number: u32,
    ledger: Arc<File>,
    work: Duration,
) -> Result<(), BoxError> {
    while let Some(request) = mailbox.recv().await {
        let own: u32 = request.message().msg.parse()?;
        let mut entry = [0; 8];
        let (mailbox, request_number) = entry.split_at_mut(4);
        mailbox.copy_from_slice(&number.to_le_bytes());
        request_number.copy_from_slice(&own.to_le_bytes());
        (&*ledger).write_all(&entry)?;
        if !work.is_zero() {
            tokio::time::sleep(work).await;
        }
        // Its caller may have given up.
        let _ = request.respond(EchoMsg::default());
    }
    Ok(())
}
