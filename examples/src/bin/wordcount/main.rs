//! Counts the words of files on a grid.
//!
//! The process that is asked for it plans the job ([`plan`]) and opens a mailbox for it ([`job`]).
//! The leader ([`leader`]) starts a reader and a counter for each peer and hands out chunks to the
//! readers. Readers ([`reader`]) distribute the words among the counters ([`counter`]) with a ring.

mod chunk_set;
mod collect;
mod counter;
mod job;
mod job_actors;
mod leader;
mod messages;
mod piece;
mod plan;
mod reader;
mod report;
mod words;

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use actorgrid::{BoxError, Server, ServerBuilder};
use clap::Parser;
use examples::{GridOptions, interrupted, log_to_stderr, shut_down};

use collect::Outcome;
use job::Job;
use plan::{Plan, Source};

/// The exit code for wrong paths and options, which clap uses too.
const USAGE: u8 = 2;

/// Counts the words of all UTF-8 files below the paths, except in `target/` and hidden folders.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Files and folders. Without any, the peers of this process only help with the jobs of others.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    grid: GridOptions,
    /// Do not compare with a single-threaded count.
    #[arg(long)]
    no_verify: bool,
    /// Stop the leader once this share of the chunks is done (`50%`); the next one continues.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    kill_leader_at: Option<u8>,
    /// Do everything this many times.
    #[arg(long, value_name = "N", default_value = "1")]
    repeat: NonZeroU32,
    /// The size of a chunk.
    #[arg(long, value_name = "BYTES", default_value = "1048576", hide = true)]
    chunk_bytes: NonZeroU64,
}

fn percent(text: &str) -> Result<u8, String> {
    text.strip_suffix('%')
        .unwrap_or(text)
        .parse()
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| "a percentage from 0% to 100% is expected".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    log_to_stderr();
    if options.paths.is_empty() {
        if options.grid.is_in_memory() {
            return complain(
                USAGE,
                "paths are needed: a grid in memory has no other process whose jobs to help with",
            );
        }
        return match help(&options).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(1, error),
        };
    }
    let files: Arc<[Source]> = match plan::find_files(&options.paths) {
        Ok(files) => files.into(),
        Err(error) => return complain(USAGE, error),
    };
    for run in 1..=options.repeat.get() {
        if options.repeat.get() > 1 {
            eprintln!("run {run} of {}", options.repeat);
        }
        match count(&options, &files).await {
            Ok(true) => {}
            Ok(false) => return ExitCode::FAILURE,
            Err(error) => return complain(1, error),
        }
    }
    ExitCode::SUCCESS
}

fn complain(code: u8, error: impl std::fmt::Display) -> ExitCode {
    eprintln!("wordcount: {error}");
    ExitCode::from(code)
}

fn actors(server: ServerBuilder) -> ServerBuilder {
    server
        .actor_fn("leader", |_start, ctx| leader::lead(ctx))
        .actor_type(reader::reader_type())
        .actor_type(counter::counter_type())
}

/// Takes part until it is interrupted.
async fn help(options: &Options) -> Result<(), BoxError> {
    let interrupted = interrupted()?;
    let registry = options.grid.connect().await?;
    let servers = options.grid.serve(&registry, "wordcount", actors).await?;
    interrupted.await;
    shut_down(servers).await
}

/// Counts on a grid, prints, and verifies. Returns false if the counts differ.
async fn count(options: &Options, files: &Arc<[Source]>) -> Result<bool, BoxError> {
    let start = Instant::now();
    let interrupted = interrupted()?;
    let registry = options.grid.connect().await?;
    let servers = options.grid.serve(&registry, "wordcount", actors).await?;
    let outcome = tokio::select! {
        outcome = on_grid(options, files, &servers) => outcome,
        () = interrupted => Err("interrupted".into()),
    };
    let time = start.elapsed();
    shut_down(servers).await?;
    let outcome = outcome?;
    let (files, verify) = (files.clone(), !options.no_verify);
    // Takes a thread seconds of work, so it must not run on one of the runtime's.
    let is_equal = tokio::task::spawn_blocking(move || {
        report::print(&outcome, time);
        if verify {
            report::verify(&outcome, &files, time)
        } else {
            Ok(true)
        }
    });
    Ok(is_equal.await??)
}

async fn on_grid(
    options: &Options,
    files: &Arc<[Source]>,
    servers: &[Server],
) -> Result<Outcome, BoxError> {
    let server = servers.first().ok_or("no peer runs")?;
    let (files, chunk_bytes) = (files.clone(), options.chunk_bytes.get());
    let plan = tokio::task::spawn_blocking(move || Plan::new(&files, chunk_bytes)).await??;
    Job::open(server, plan, options.kill_leader_at)
        .await?
        .run()
        .await
}
