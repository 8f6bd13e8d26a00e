//! A client in a process of its own that is driven by a script: of the Go library, or of another
//! version of ours.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::mpsc;

/// How much longer than its command's own timeout a reply may take.
const SLACK: Duration = Duration::from_secs(20);

/// A command of the script. The Go program, `go/cmd/client`, documents what each operation reads;
/// ours, `rust-client`, has some of them.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs)] // the fields of the Go program's command
pub struct Command {
    pub op: &'static str,
    pub timeout_ms: u64,
    pub to: String,
    pub text: String,
    pub size: usize,
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub data: String,
    pub kind: String,
    pub members: Vec<String>,
    pub fastest: bool,
    pub address: String,
    pub hex: String,
    pub rings: u32,
    pub reserved: u32,
    pub keys: Vec<String>,
    pub ints: Vec<i64>,
    pub metadata: Vec<&'static str>,
    pub count: usize,
    pub close_after: usize,
    pub window: u32,
}

/// A command as it is sent.
#[derive(Serialize)]
struct Numbered<'a> {
    id: u64,
    #[serde(flatten)]
    command: &'a Command,
}

/// The result of a command.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // the fields of the Go program's reply
pub struct Reply {
    id: u64,
    pub event: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub text: String,
    pub length: usize,
    pub error: Option<Failed>,
    pub entries: Vec<Entry>,
    pub results: HashMap<String, Reply>,
    pub names: Vec<String>,
    pub outcomes: Vec<Outcome>,
    /// How long the client of our library took, in microseconds.
    pub took_us: u64,
}

impl Reply {
    /// Returns the code and text of its error.
    ///
    /// # Panics
    ///
    /// Panics if it has none.
    #[must_use]
    #[track_caller]
    pub fn failure(&self) -> (i32, &str) {
        match &self.error {
            Some(failed) => (failed.code, &failed.text),
            None => panic!("the command did not fail: {self:?}"),
        }
    }

    /// Returns the reply, which must not be an error.
    ///
    /// # Panics
    ///
    /// Panics if it is an error.
    #[track_caller]
    #[allow(clippy::must_use_candidate)] // callers may only need that it is not an error
    pub fn success(self) -> Self {
        assert!(self.error.is_none(), "the command failed: {self:?}");
        self
    }
}

/// An error of the client.
#[derive(Debug, Clone, Deserialize)]
pub struct Failed {
    /// The code of its gRPC status, or -1 for an error of the library itself.
    pub code: i32,
    /// The error text.
    pub text: String,
}

/// The calls of a burst that ended in the same way.
#[derive(Debug, Clone, Deserialize)]
pub struct Outcome {
    /// The number of calls.
    pub count: usize,
    /// The length of their answers.
    pub length: usize,
    /// Their error, if they failed.
    pub error: Option<Failed>,
    /// When the last of them ended, in milliseconds since the burst began.
    pub slowest_ms: u64,
}

/// A registration as a query or a watch of the client reports it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// The registered name.
    pub name: String,
    /// The peer; empty where the Go library does not report it.
    pub peer: String,
    /// The peer's annotations.
    pub annotations: Option<Vec<String>>,
}

type Waiting = Arc<Mutex<HashMap<u64, mpsc::UnboundedSender<Reply>>>>;

/// A client in its own process. It is killed when it is dropped.
#[derive(Debug)]
pub struct ScriptedClient {
    _child: Child,
    script: tokio::sync::Mutex<(ChildStdin, u64)>,
    waiting: Waiting,
}

/// The replies to one command.
#[derive(Debug)]
pub struct Replies {
    replies: mpsc::UnboundedReceiver<Reply>,
    bound: Duration,
}

impl Replies {
    /// Waits for the next reply.
    ///
    /// # Panics
    ///
    /// Panics if none arrives in time.
    pub async fn next(&mut self) -> Reply {
        match tokio::time::timeout(self.bound, self.replies.recv()).await {
            Ok(Some(reply)) => reply,
            Ok(None) => panic!("the client has ended"),
            Err(_) => panic!("the client does not reply"),
        }
    }
}

impl ScriptedClient {
    /// Starts a client: a program that reads commands and writes replies.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be run.
    #[must_use]
    #[track_caller]
    pub fn start(mut command: tokio::process::Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("{command:?} cannot be run: {error}"),
        };
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            panic!("the client has no pipes");
        };
        let waiting = Waiting::default();
        let replies = Arc::clone(&waiting);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let reply: Reply = match serde_json::from_str(&line) {
                    Ok(reply) => reply,
                    Err(error) => panic!("not a reply: {line}: {error}"),
                };
                let replies = replies.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(waiting) = replies.get(&reply.id) {
                    // The rest of a watch may be of no interest to anybody.
                    let _ = waiting.send(reply);
                }
            }
            replies
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clear();
        });
        Self {
            _child: child,
            script: tokio::sync::Mutex::new((stdin, 0)),
            waiting,
        }
    }

    /// Sends it a command, which is carried out concurrently with others.
    ///
    /// # Panics
    ///
    /// Panics if the client has ended.
    pub async fn command(&self, command: Command) -> Replies {
        let (sender, replies) = mpsc::unbounded_channel();
        let bound = Duration::from_millis(command.timeout_ms.max(10_000)) + SLACK;
        let mut script = self.script.lock().await;
        let (stdin, last) = &mut *script;
        *last += 1;
        let id = *last;
        let command = &command;
        let mut line = match serde_json::to_vec(&Numbered { id, command }) {
            Ok(line) => line,
            Err(error) => panic!("{command:?}: {error}"),
        };
        line.push(b'\n');
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, sender);
        if let Err(error) = stdin.write_all(&line).await {
            panic!("the client takes no command: {error}");
        }
        Replies { replies, bound }
    }

    /// Sends it a command and waits for its only reply.
    ///
    /// # Panics
    ///
    /// Panics if none arrives in time.
    pub async fn ask(&self, command: Command) -> Reply {
        self.command(command).await.next().await
    }

    /// Sends a request with a text, through the library.
    pub async fn request(&self, to: &str, text: &str) -> Reply {
        self.ask(Command {
            op: "request",
            to: to.to_owned(),
            text: text.to_owned(),
            ..Command::default()
        })
        .await
    }

    /// Asks a peer to start an actor, through the library.
    pub async fn start_actor(&self, peer: &str, name: &str, actor_type: &str) -> Reply {
        self.start_actor_with(peer, name, actor_type, "").await
    }

    /// Asks a peer to start an actor, with data for its constructor.
    pub async fn start_actor_with(
        &self,
        peer: &str,
        name: &str,
        actor_type: &str,
        data: &str,
    ) -> Reply {
        self.ask(Command {
            op: "start",
            to: peer.to_owned(),
            name: name.to_owned(),
            type_name: actor_type.to_owned(),
            data: data.to_owned(),
            ..Command::default()
        })
        .await
    }
}
