//! Requests that are accounted for one by one: the outcomes that their callers know are compared
//! with the ledger of the peer.

#![allow(dead_code, clippy::unwrap_used)] // each test file uses a part

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use actorgrid::{Client, EchoMsg, RequestError};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use testbed::Process;

use crate::bed::{BOUND, Bed};

/// A caller that has failed pauses for this long, as callers do.
const PAUSE: Duration = Duration::from_millis(10);
/// How many faults of one kind are reported one by one.
const SHOWN: usize = 5;

/// The knowledge of a caller about its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing yet.
    Open,
    Answered,
    NotExecuted,
    PerhapsExecuted,
}

/// A request, as its caller sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Called {
    pub(crate) known: Known,
    pub(crate) begun: Instant,
    pub(crate) took: Duration,
}

/// How the requests to one mailbox are made.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    pub(crate) mailbox: String,
    pub(crate) in_flight: usize,
    pub(crate) deadline: Duration,
    /// Whether failed requests that were not executed are sent again.
    pub(crate) repeats: bool,
}

impl Calls {
    /// Makes requests until this time, each with the next number. Its first poll follows that of
    /// the request before.
    pub(crate) async fn run(self, client: Client, until: Instant) -> Vec<Called> {
        let mut called: Vec<Called> = Vec::new();
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < self.in_flight && Instant::now() < until {
                let number = called.len();
                called.push(Called {
                    known: Known::Open,
                    begun: Instant::now(),
                    took: Duration::ZERO,
                });
                let mut call = Box::pin(self.call(&client, number));
                match futures_util::poll!(call.as_mut()) {
                    std::task::Poll::Ready((number, done)) => called[number] = done,
                    std::task::Poll::Pending => under_way.push(call),
                }
            }
            match under_way.next().await {
                Some((number, done)) => called[number] = done,
                None => return called,
            }
        }
    }

    async fn call(&self, client: &Client, number: usize) -> (usize, Called) {
        let begun = Instant::now();
        let message = EchoMsg::new(number.to_string());
        let request = client.request(&*self.mailbox, message);
        let request = request.deadline(self.deadline);
        let answer = match self.repeats {
            true => request.send().await,
            false => request.once().send().await,
        };
        let done = Called {
            known: Known::of(&answer),
            begun,
            took: begun.elapsed(),
        };
        if answer.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
        (number, done)
    }
}

impl Known {
    fn of(answer: &Result<EchoMsg, RequestError>) -> Self {
        match answer {
            Ok(_) => Self::Answered,
            Err(error) if error.may_have_executed() => Self::PerhapsExecuted,
            Err(_) => Self::NotExecuted,
        }
    }
}

/// A peer with a ledger.
pub(crate) struct LedgerPeer {
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) address: String,
}

/// The options of a [`LedgerPeer`].
pub(crate) struct LedgerOptions<'a> {
    pub(crate) name: &'a str,
    pub(crate) ledger: &'a Path,
    pub(crate) mailboxes: usize,
    pub(crate) address: &'a str,
    pub(crate) work_ms: u64,
}

impl LedgerPeer {
    /// Starts a peer, whose mailboxes begin with its name, and waits until all of them are open.
    pub(crate) fn start(bed: &Bed, options: &LedgerOptions<'_>) -> Self {
        let from = bed.transcript.len();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ledger-peer"));
        command
            .args(["--registry", &bed.etcd.url(), "--lease-ttl", "15s"])
            .args(["--address", options.address])
            .args(["--prefix", options.name])
            .args(["--mailboxes", &options.mailboxes.to_string()])
            .args(["--work-ms", &options.work_ms.to_string()])
            .arg("--ledger")
            .arg(options.ledger);
        let process = Process::start_in(&bed.transcript, options.name, &mut command);
        let ready = |line: &testbed::Line| line.text.starts_with("READY");
        let ready = process.wait_for_line_from(from, ready, BOUND);
        let (_, port) = ready.field("peer").unwrap().rsplit_once('-').unwrap();
        Self {
            address: format!("127.0.0.1:{port}"),
            process,
        }
    }
}

/// A folder that is removed when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The executions in a ledger, in their order: mailbox and number of the request.
pub(crate) fn read_ledger(path: &Path) -> Vec<(u32, u32)> {
    let bytes = std::fs::read(path).unwrap();
    let numbers = |entry: &[u8]| {
        let (mailbox, request) = entry.split_at(4);
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        (number(mailbox), number(request))
    };
    bytes.chunks(8).map(numbers).collect()
}

/// The requests to one mailbox.
pub(crate) struct MailboxAccount {
    pub(crate) called: Vec<Called>,
    pub(crate) deadline: Duration,
    /// Whether they were executed in their order: only those that are never sent again are.
    pub(crate) in_order: bool,
}

/// The result of comparing what callers know with a ledger.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    answered: usize,
    not_executed: usize,
    perhaps: usize,
    /// How many of `perhaps` were executed.
    perhaps_executed: usize,
    /// The longest time beyond a deadline.
    latest: Duration,
    /// The number of faults of each kind, and the first of them.
    faults: BTreeMap<&'static str, (usize, Vec<String>)>,
}

impl Audit {
    /// Compares. `slack` is the time that an outcome may take beyond the deadline.
    pub(crate) fn new(
        mailboxes: &[MailboxAccount],
        ledger: &[(u32, u32)],
        slack: Duration,
    ) -> Self {
        let mut audit = Self::default();
        let mut executed: Vec<Vec<u32>> = mailboxes
            .iter()
            .map(|mailbox| vec![0; mailbox.called.len()])
            .collect();
        let mut last: Vec<Option<u32>> = vec![None; mailboxes.len()];
        for &(mailbox, number) in ledger {
            let place = mailbox as usize;
            let times = executed.get_mut(place);
            let Some(times) = times.and_then(|of| of.get_mut(number as usize)) else {
                audit.fault("executed and never sent", (mailbox, number));
                continue;
            };
            *times += 1;
            if *times > 1 {
                audit.fault("executed twice", (mailbox, number));
            }
            let before = last[place].replace(number);
            if mailboxes[place].in_order && before.is_some_and(|before| before > number) {
                audit.fault("executed behind a later one", (mailbox, number));
            }
        }
        for (index, mailbox) in mailboxes.iter().enumerate() {
            for (number, called) in mailbox.called.iter().enumerate() {
                let times = executed[index][number];
                audit.count(called, times, (index, number));
                let beyond = called.took.saturating_sub(mailbox.deadline);
                audit.latest = audit.latest.max(beyond);
                if beyond > slack {
                    audit.fault("without an outcome in time", (index, number));
                }
            }
        }
        audit
    }

    fn count(&mut self, called: &Called, executed: u32, at: (usize, usize)) {
        match called.known {
            Known::Open => self.fault("without an outcome", at),
            Known::Answered => {
                self.answered += 1;
                if executed == 0 {
                    self.fault("answered and never executed", at);
                }
            }
            Known::NotExecuted => {
                self.not_executed += 1;
                if executed > 0 {
                    self.fault("reported as not executed, and executed", at);
                }
            }
            Known::PerhapsExecuted => {
                self.perhaps += 1;
                self.perhaps_executed += usize::from(executed > 0);
            }
        }
    }

    fn fault(
        &mut self,
        kind: &'static str,
        (mailbox, number): (impl fmt::Display, impl fmt::Display),
    ) {
        let (count, shown) = self.faults.entry(kind).or_default();
        *count += 1;
        if shown.len() < SHOWN {
            shown.push(format!("{mailbox}.{number}"));
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    pub(crate) const fn answered(&self) -> usize {
        self.answered
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.answered + self.not_executed + self.perhaps;
        writeln!(
            f,
            "  {all} requests: {} answered, {} not executed, {} perhaps executed ({} were)",
            self.answered, self.not_executed, self.perhaps, self.perhaps_executed
        )?;
        writeln!(f, "  latest outcome: {:?} after its deadline", self.latest)?;
        for (kind, (count, shown)) in &self.faults {
            writeln!(f, "  FAULT: {count} {kind}, as {}", shown.join(" "))?;
        }
        let verdict = if self.is_clean() { "PASSED" } else { "FAILED" };
        write!(f, "  {verdict}: each is accounted for")
    }
}
