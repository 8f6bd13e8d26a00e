//! A client of our library that is driven by a script, as the Go client of these tests is: it reads
//! one JSON command per line from stdin, and writes one JSON reply per line to stdout, with the
//! command's id. Commands are carried out concurrently. It ends with its stdin.
//!
//! `interop/previous.sh` also builds this program with the previous version of the library, so it
//! uses only what that version has.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use actorgrid::{ActorStart, BoxError, Client, EchoMsg, Kind, Registry, RequestError};
use clap::Parser;
use serde::{Deserialize, Serialize};

#[derive(Debug, Parser)]
struct Options {
    /// The URL of the registry.
    #[arg(long)]
    registry: String,
    #[arg(long)]
    namespace: String,
}

/// A line of the script. Each operation reads its own fields.
#[derive(Debug, Deserialize)]
struct Command {
    id: u64,
    op: String,
    #[serde(default)]
    timeout_ms: u64,
    #[serde(default)]
    to: String,
    #[serde(default)]
    text: String,
    /// The text is padded to this length.
    #[serde(default)]
    size: usize,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    type_name: String,
    #[serde(default)]
    kind: String,
}

/// The result of a command.
#[derive(Debug, Default, Serialize)]
struct Reply {
    id: u64,
    text: String,
    length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failed>,
    entries: Vec<Entry>,
    /// How long it took.
    took_us: u64,
}

#[derive(Debug, Serialize)]
struct Failed {
    /// No code of gRPC.
    code: i32,
    text: String,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    peer: String,
    annotations: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Runtime::new()?;
    let registry = runtime.block_on(Registry::connect(&options.registry))?;
    let client = Client::new(options.namespace.as_str(), registry);
    for line in std::io::stdin().lines() {
        let command: Command = serde_json::from_str(&line?)?;
        let client = client.clone();
        runtime.spawn(async move {
            let began = Instant::now();
            let mut reply = carry_out(&client, &command)
                .await
                .unwrap_or_else(|error| Reply {
                    error: Some(Failed {
                        code: -1,
                        text: describe(&error),
                    }),
                    ..Reply::default()
                });
            reply.id = command.id;
            reply.took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            if let Ok(line) = serde_json::to_string(&reply) {
                println!("{line}");
            }
        });
    }
    Ok(())
}

/// The kind of an error, what it may have done, and its text.
fn describe(error: &RequestError) -> String {
    let executed = match error.may_have_executed() {
        true => "may have executed",
        false => "not executed",
    };
    format!("{:?}, {executed}: {error}", error.kind())
}

async fn carry_out(client: &Client, command: &Command) -> Result<Reply, RequestError> {
    let timeout = match command.timeout_ms {
        0 => Duration::from_secs(10),
        millis => Duration::from_millis(millis),
    };
    let reply = match command.op.as_str() {
        "request" => {
            let mut text = command.text.clone();
            let padding = command.size.saturating_sub(text.len());
            text.push_str(&"x".repeat(padding));
            let request = client.request(command.to.as_str(), EchoMsg::new(text));
            let answer = request.wait_for_name().deadline(timeout).await?;
            let length = answer.msg.len();
            let text = if length < 1000 {
                answer.msg
            } else {
                String::new()
            };
            Reply {
                text,
                length,
                ..Reply::default()
            }
        }
        "start" => {
            let start = ActorStart::new(command.name.as_str(), command.type_name.as_str());
            client
                .start(command.to.as_str(), start)
                .deadline(timeout)
                .await?;
            Reply::default()
        }
        "query" => {
            let kind = match command.kind.as_str() {
                "peer" => Kind::Peer,
                "actor" => Kind::Actor,
                _ => Kind::Mailbox,
            };
            let registrations = client.query(kind).await?;
            let entries = registrations.iter().map(|one| Entry {
                name: one.name.to_string(),
                peer: one.peer.to_string(),
                annotations: one.annotations.to_vec(),
            });
            Reply {
                entries: entries.collect(),
                ..Reply::default()
            }
        }
        other => Reply {
            error: Some(Failed {
                code: -1,
                text: format!("unknown op {other:?}"),
            }),
            ..Reply::default()
        },
    };
    Ok(reply)
}
