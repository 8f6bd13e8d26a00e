//! Restarts the peers of the requestreply example, on etcd, and checks the answers that callers of
//! its front receive meanwhile.
#![cfg(unix)]
#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use testbed::{Etcd, Process, Transcript};

const CALLERS: usize = 64;
const PEERS: usize = 3;
/// The bound for anything that takes only a moment.
const BOUND: Duration = Duration::from_secs(30);

/// Returns how long callers call: SECONDS if it is set, otherwise 6 s.
fn duration() -> Duration {
    let seconds = std::env::var("SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(6))
}

fn program(etcd: &Etcd) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_requestreply"));
    command.args(["--registry", &etcd.url(), "--lease-ttl", "5s"]);
    command
}

/// Starts a peer; returns it once its worker runs, with its address.
fn start_peer(
    etcd: &Etcd,
    transcript: &Transcript,
    name: &str,
    address: &str,
) -> (Process, String) {
    let mut command = program(etcd);
    let process = Process::start_in(transcript, name, command.args(["--address", address]));
    let line = process.wait_for_line(|line| line.text.starts_with("WORKER start"), BOUND);
    let peer = line.field("peer").unwrap();
    let port = peer.rsplit_once('-').unwrap().1;
    (process, format!("127.0.0.1:{port}"))
}

/// The answers that callers received: how many of each kind, from which workers, and for which
/// reasons.
#[derive(Default)]
struct Seen {
    counts: BTreeMap<String, u64>,
    workers: HashSet<(String, i64)>,
    reasons: BTreeMap<String, u64>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.workers.extend(other.workers);
    }
}

/// Sends requests, every second one for a user, until `is_over`. Every request must be answered.
fn call(address: &str, caller: usize, is_over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let mut http = BufReader::new(stream);
    for turn in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let user = (turn % 2 == 0).then(|| format!("user-{caller}-{turn}"));
        let path = match &user {
            Some(user) => format!("/work?user={user}"),
            None => "/work".to_owned(),
        };
        let (status, body) = get(&mut http, &path);
        let kind = if status == 200 {
            assert_eq!(body["user"].as_str(), user.as_deref(), "{body}");
            let worker = body["worker"].as_str().unwrap().to_owned();
            seen.workers
                .insert((worker, body["token"].as_i64().unwrap()));
            "200".to_owned()
        } else {
            assert_eq!(status, 503, "{body}");
            let error = body["error"].as_str().unwrap();
            if error != "no worker" {
                let detail = body["detail"].as_str().unwrap();
                assert!(!detail.is_empty(), "{body}");
                *seen.reasons.entry(detail.to_owned()).or_default() += 1;
            }
            format!("503 {error}")
        };
        *seen.counts.entry(kind).or_default() += 1;
    }
    seen
}

fn get(http: &mut BufReader<TcpStream>, path: &str) -> (u16, Value) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    http.get_mut().write_all(request.as_bytes()).unwrap();
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        assert!(http.read_line(&mut line).unwrap() > 0, "no answer");
        match line.trim_end().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None if line == "\r\n" => break,
            None => status = line.split(' ').nth(1).unwrap().parse().unwrap(),
        }
    }
    let mut body = vec![0; length];
    http.read_exact(&mut body).unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Returns the counts that the front has printed, except those that are zero.
fn counted(stderr: &str) -> BTreeMap<String, u64> {
    let begins = "requestreply: ";
    let counts = stderr
        .lines()
        .find_map(|line| {
            line.strip_prefix(begins)
                .filter(|rest| rest.starts_with("200: "))
        })
        .unwrap_or_else(|| panic!("the front has printed no counts:\n{stderr}"));
    counts
        .split(", ")
        .filter_map(|part| part.rsplit_once(": "))
        .map(|(kind, count)| (kind.to_owned(), count.parse().unwrap()))
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[test]
fn no_answer_is_lost_or_wrong_while_peers_are_restarted_one_after_the_other() {
    let etcd = Etcd::start();
    let transcript = Transcript::new();
    let folder = tempfile::tempdir().unwrap();
    let errors = folder.path().join("front");
    let stderr = std::fs::File::create(&errors).unwrap();
    let mut command = program(&etcd);
    command
        .args(["--http", "127.0.0.1:0"])
        .stderr(Stdio::from(stderr));
    let mut front = Process::start_in(&transcript, "front", &mut command);
    let begins = "HTTP listening on http://";
    let line = front.wait_for_line(|line| line.text.starts_with(begins), BOUND);
    let address = line.text.strip_prefix(begins).unwrap().to_owned();
    let mut peers: Vec<_> = (0..PEERS)
        .map(|index| start_peer(&etcd, &transcript, &format!("p{index}-0"), "127.0.0.1:0"))
        .collect();
    front.wait_for_line(|line| line.text.starts_with("WORKER start"), BOUND);

    let is_over = AtomicBool::new(false);
    let mut restarts = 0;
    let mut seen = Seen::default();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (address, is_over) = (&address, &is_over);
                scope.spawn(move || call(address, caller, is_over))
            })
            .collect();
        let begun = Instant::now();
        while begun.elapsed() < duration() {
            let index = restarts % PEERS;
            let (old, address) = &mut peers[index];
            old.terminate();
            assert!(old.wait(BOUND).success());
            restarts += 1;
            peers[index] = start_peer(&etcd, &transcript, &format!("p{index}-{restarts}"), address);
        }
        is_over.store(true, Ordering::Relaxed);
        for caller in callers {
            seen.add(caller.join().unwrap());
        }
    });
    front.terminate();
    assert!(front.wait(BOUND).success());

    eprintln!("{restarts} restarts: {:?} {:?}", seen.counts, seen.reasons);
    let stderr = std::fs::read_to_string(&errors).unwrap();
    assert_eq!(seen.counts, counted(&stderr));
    let started: HashSet<_> = transcript
        .lines()
        .iter()
        .filter(|line| line.text.starts_with("WORKER start"))
        .map(|line| {
            let token: i64 = line.field("token").unwrap().parse().unwrap();
            (line.field("name").unwrap().to_owned(), token)
        })
        .collect();
    assert!(seen.workers.is_subset(&started), "{:?}", seen.workers);
    assert!(restarts >= PEERS, "{restarts}");
    // A graceful shutdown leaves no caller in doubt.
    assert_eq!(seen.counts.get("503 may have been executed"), None);
    let total: u64 = seen.counts.values().sum();
    assert!(seen.counts["200"] * 100 > total * 99, "{:?}", seen.counts);
}
