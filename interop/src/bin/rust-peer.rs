//! A peer of our library, with the same actors as the Go peer of these tests and lines of the same
//! form: READY, LEADER, ACTOR, STOPPED, FAILED. SIGTERM stops it gracefully.
//!
//! `interop/previous.sh` also builds this program with the previous version of the library, so it
//! uses only what that version has.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actorgrid::{
    ActorContext, ActorResult, ActorStart, ActorType, BoxError, Code, EchoMsg, Failure, Mailbox,
    Request, RespondError, RespondErrorKind, ServerBuilder,
};
use clap::Parser;
use examples::{GridOptions, interrupted, line, log_to_stderr};

#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    grid: GridOptions,
    /// Annotations of the peer, separated by commas.
    #[arg(long, value_delimiter = ',')]
    annotations: Vec<String>,
    /// Registers the leader, and is a candidate.
    #[arg(long)]
    leader: bool,
    /// The maximum number of actors at once.
    #[arg(long, default_value_t = 1000)]
    max_actors: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    log_to_stderr();
    match run(Options::parse()).await {
        Ok(()) => {
            line("STOPPED");
            ExitCode::SUCCESS
        }
        Err(error) => {
            line(format_args!("FAILED error={error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), BoxError> {
    let stop = interrupted()?;
    let registry = options.grid.connect().await?;
    let servers = options
        .grid
        .serve(&registry, "interop", |mut server| {
            for annotation in &options.annotations {
                server = server.annotation(annotation);
            }
            if options.leader {
                server = server.actor_fn("leader", async |_start, ctx| lead(ctx).await);
            }
            actors(server.max_actors(options.max_actors))
        })
        .await?;
    for server in &servers {
        line(format_args!("READY peer={}", server.peer()));
    }
    stop.await;
    examples::shut_down(servers).await
}

async fn lead(ctx: ActorContext) -> ActorResult {
    let mailbox = ctx.mailbox(100).await?;
    line(format_args!("LEADER start peer={}", ctx.peer()));
    start_actors(&ctx, mailbox).await?;
    line(format_args!("LEADER stop peer={}", ctx.peer()));
    Ok(())
}

/// Starts the actors that requests ask for: `<peer> <name> <type>`.
async fn start_actors(ctx: &ActorContext, mut mailbox: Mailbox<Request<EchoMsg>>) -> ActorResult {
    while let Some(request) = mailbox.recv().await {
        let words: Vec<_> = request.message().msg.split(' ').collect();
        let started = match words[..] {
            [peer, name, actor_type] => {
                let start = ActorStart::new(name, actor_type);
                ctx.client().start(peer, start).await.map_err(Failure::from)
            }
            _ => Err("not `<peer> <name> <type>`".into()),
        };
        gone(match started {
            Ok(_) => request.respond(EchoMsg::default()),
            Err(failure) => request.fail(failure),
        })?;
    }
    Ok(())
}

/// How an actor answers a request.
enum Answer {
    Reply(String),
    /// Answers with the values of three headers, one per line.
    Headers,
    Fail(Failure),
    /// Answers when the time has passed, and accepts nothing else meanwhile.
    Late(Duration),
    /// Drops the request without an answer.
    Drop,
    /// Keeps the request without an answer.
    Keep,
    /// Acknowledges the request, and closes the mailbox while the actor continues.
    Close,
}

/// Creates an actor type that handles requests to the mailbox with the actor's name.
fn serving<F>(name: &'static str, capacity: usize, answer: F) -> ActorType
where
    F: Fn(&ActorContext, &str) -> Answer + Clone + Send + Sync + 'static,
{
    ActorType::from_fn(name, move |_start, ctx| {
        serve(ctx, capacity, answer.clone())
    })
    .mailbox::<Request<EchoMsg>>(capacity)
}

async fn serve(
    ctx: ActorContext,
    capacity: usize,
    answer: impl Fn(&ActorContext, &str) -> Answer + Send,
) -> ActorResult {
    let mut mailbox = ctx.mailbox::<Request<EchoMsg>>(capacity).await?;
    line(format_args!("ACTOR start name={}", ctx.name()));
    let mut kept = Vec::new();
    while let Some(request) = mailbox.recv().await {
        if request.message().msg == "leave" {
            gone(request.respond(EchoMsg::default()))?;
            break;
        }
        match answer(&ctx, &request.message().msg) {
            Answer::Reply(text) => gone(request.respond(EchoMsg::new(text)))?,
            Answer::Headers => {
                let names = ["traceparent", "tracestate", "baggage"];
                let values = names.map(|name| request.header(name).unwrap_or_default().to_owned());
                gone(request.respond(EchoMsg::new(values.join("\n"))))?;
            }
            Answer::Fail(failure) => gone(request.fail(failure))?,
            Answer::Late(time) => {
                tokio::time::sleep(time).await;
                gone(request.respond(EchoMsg::default()))?;
            }
            Answer::Drop => drop(request),
            Answer::Keep => kept.push(request),
            Answer::Close => {
                request.respond(EchoMsg::default())?;
                drop(mailbox);
                line(format_args!("ACTOR closed name={}", ctx.name()));
                ctx.stopping().await;
                break;
            }
        }
    }
    line(format_args!("ACTOR stop name={}", ctx.name()));
    Ok(())
}

/// Ignores that a caller has gone, as the actor must not end for that.
fn gone(answered: Result<(), RespondError<EchoMsg>>) -> Result<(), RespondError<EchoMsg>> {
    match answered {
        Err(error) if error.kind() == RespondErrorKind::RequesterGone => Ok(()),
        other => other,
    }
}

fn actors(server: ServerBuilder) -> ServerBuilder {
    let count = Arc::new(AtomicU64::new(0));
    server
        .actor_type(serving("echo", 100, |_, text| {
            Answer::Reply(text.to_owned())
        }))
        .actor_type(serving("headers", 100, |_, _| Answer::Headers))
        .actor_type(serving("where", 100, |ctx, _| {
            Answer::Reply(ctx.peer().to_string())
        }))
        .actor_type(serving("error", 100, |_, text| Answer::Fail(failure(text))))
        .actor_type(serving("counting", 100, move |_, text| {
            if text == "count" {
                return Answer::Reply(count.load(Ordering::Relaxed).to_string());
            }
            count.fetch_add(1, Ordering::Relaxed);
            Answer::Fail("insufficient funds".into())
        }))
        .actor_type(serving("silent", 100, |_, text| match text {
            "panic" => panic!("as asked"),
            "drop" => Answer::Drop,
            "close" => Answer::Close,
            _ => Answer::Keep,
        }))
        .actor_type(serving("slow", 1, |_, text| match text.parse() {
            Ok(millis) => Answer::Late(Duration::from_millis(millis)),
            Err(_) => Answer::Fail(format!("{text:?} is no number").into()),
        }))
        // Never reads its mailbox.
        .actor_type(
            ActorType::from_fn("unread", async |_start, ctx: ActorContext| {
                let _mailbox = ctx.mailbox::<Request<EchoMsg>>(1000).await?;
                ctx.stopping().await;
                Ok(())
            })
            .mailbox::<Request<EchoMsg>>(1000),
        )
        // Does not end at once when asked to stop.
        .actor_fn("lingering", async |_start, ctx| {
            ctx.stopping().await;
            line("LINGERING");
            std::future::pending().await
        })
        // Starts actors as the leader does.
        .actor_fn("starter", async |_start, ctx| {
            let mailbox = ctx.mailbox(100).await?;
            start_actors(&ctx, mailbox).await
        })
        .actor_fn("idle", async |_start, ctx| {
            ctx.stopping().await;
            Ok(())
        })
        .actor_type(ActorType::new("fails", async |start| {
            let why = String::from_utf8_lossy(start.bytes()).into_owned();
            Err::<Never, _>(why.into())
        }))
}

/// Returns the failure that a text asks for: one with a code by `code:<name>:<text>`, one of the
/// given length by `long:<bytes>`, otherwise the text itself.
fn failure(text: &str) -> Failure {
    if let Some(Ok(length)) = text.strip_prefix("long:").map(str::parse) {
        return "x".repeat(length).into();
    }
    let words = text
        .strip_prefix("code:")
        .and_then(|rest| rest.split_once(':'));
    let code = words.and_then(|(name, text)| {
        let code = CODES.into_iter().find(|code| code.as_str() == name)?;
        Some(Failure::new(text).code(code))
    });
    code.unwrap_or_else(|| text.into())
}

/// The codes that the tests try.
const CODES: [Code; 5] = [
    Code::Cancelled,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::Unavailable,
    Code::Unauthenticated,
];

/// The actor that a failing constructor never makes.
struct Never;

impl actorgrid::Actor for Never {
    async fn act(self, _ctx: ActorContext) -> ActorResult {
        Ok(())
    }
}
