//! The requestreply program, as a user runs it.
#![cfg(unix)]
#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The program, which is killed if a test fails.
struct Program {
    process: Child,
    address: String,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_requestreply"))
            .args(["--http", "127.0.0.1:0", "--peers", "3"])
            .args(options)
            .env("RUST_LOG", "requestreply=debug,warn")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let address = first.strip_prefix("HTTP listening on http://").unwrap();
        Self {
            address: address.to_owned(),
            process,
            lines,
        }
    }

    /// Waits until the front knows all workers, that is, until each has its turn. Returns their
    /// names.
    fn workers(&mut self) -> HashSet<String> {
        for _ in 0..3 {
            let is_start = |line: &String| line.starts_with("WORKER start name=worker-");
            self.lines
                .by_ref()
                .map(Result::unwrap)
                .find(is_start)
                .unwrap();
        }
        let mut http = self.connect();
        loop {
            let turns: HashSet<_> = (0..6)
                .map(|_| http.get("/work"))
                .filter(|(status, _)| *status == 200)
                .map(|(_, body)| worker(&body))
                .collect();
            if turns.len() == 3 {
                return turns;
            }
        }
    }

    fn connect(&self) -> Http {
        Http(BufReader::new(TcpStream::connect(&self.address).unwrap()))
    }

    fn terminate(&self) {
        let id = self.process.id().to_string();
        let kill = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(kill.success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Http(BufReader<TcpStream>);

impl Http {
    fn send(&mut self, method: &str, path: &str) {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
    }

    /// Returns the status and the body of the next response.
    fn receive(&mut self) -> (u16, String) {
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None if line == "\r\n" => break,
                None => status = line.split(' ').nth(1).unwrap().parse().unwrap(),
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    fn get(&mut self, path: &str) -> (u16, String) {
        self.send("GET", path);
        self.receive()
    }

    fn worker_of(&mut self, user: &str) -> String {
        let (status, body) = self.get(&format!("/work?user={user}"));
        assert_eq!(status, 200, "{body}");
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["user"], user);
        assert!(json["token"].as_i64().unwrap() > 0);
        worker(&body)
    }
}

fn worker(body: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    json["worker"].as_str().unwrap().to_owned()
}

#[test]
fn a_user_has_one_worker_and_users_are_spread() {
    let mut program = Program::start(&[]);
    let workers = program.workers();
    let mut http = program.connect();
    let first = http.worker_of("x");
    for _ in 0..50 {
        assert_eq!(http.worker_of("x"), first);
    }
    // The same holds for another connection.
    assert_eq!(program.connect().worker_of("x"), first);
    let mut users = HashMap::<_, u32>::new();
    for user in 0..100 {
        *users
            .entry(http.worker_of(&format!("user-{user}")))
            .or_default() += 1;
    }
    assert_eq!(users.len(), 3, "{users:?}");
    assert!(users.keys().all(|worker| workers.contains(worker)));
    let (status, body) = http.get("/work");
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"user\":null"), "{body}");
}

#[test]
fn other_paths_and_methods_are_refused_and_all_is_counted() {
    let mut program = Program::start(&[]);
    let mut http = program.connect();
    assert_eq!(http.get("/").0, 404);
    assert_eq!(http.get("/work/x").0, 404);
    http.send("DELETE", "/work?user=x");
    assert_eq!(http.receive().0, 405);
    program.terminate();
    let mut stderr = String::new();
    let mut pipe = program.process.stderr.take().unwrap();
    pipe.read_to_string(&mut stderr).unwrap();
    assert!(
        stderr.contains("requestreply: 200: 0, 503 no worker: 0, 503 refused: 0, "),
        "{stderr}"
    );
    assert!(stderr.contains(" 404: 2, 405: 1\n"), "{stderr}");
    assert!(program.process.wait().unwrap().success());
}

#[test]
fn an_open_request_is_answered_before_the_end() {
    let mut program = Program::start(&["--work-time", "300ms"]);
    let mut http = program.connect();
    let mut idle = program.connect();
    assert_eq!(idle.get("/").0, 404);
    while http.get("/work").0 != 200 {}
    let mut stderr = BufReader::new(program.process.stderr.take().unwrap()).lines();
    let is_working = |line: &String| line.contains("working");
    let is_counted = |line: &String| line.starts_with("requestreply: 200: 2, ");
    stderr
        .by_ref()
        .map(Result::unwrap)
        .find(is_working)
        .unwrap();
    http.send("GET", "/work?user=x");
    stderr
        .by_ref()
        .map(Result::unwrap)
        .find(is_working)
        .unwrap();

    program.terminate();
    let (status, body) = http.receive();
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"user\":\"x\""), "{body}");
    // Both connections end, and no new ones are accepted.
    assert_eq!(http.0.read(&mut [0]).unwrap(), 0);
    assert_eq!(idle.0.read(&mut [0]).unwrap(), 0);
    assert!(TcpStream::connect(&program.address).is_err());
    stderr.map(Result::unwrap).find(is_counted).unwrap();
    assert!(program.process.wait().unwrap().success());
}

#[test]
fn a_worker_that_does_not_answer_is_a_503_with_a_reason() {
    let mut program = Program::start(&["--work-time", "1h"]);
    let mut lines = program.lines.by_ref().map(Result::unwrap);
    lines.find(|line| line.starts_with("WORKER start")).unwrap();
    let mut http = program.connect();
    let body = loop {
        let (status, body) = http.get("/work?user=x");
        assert_eq!(status, 503, "{body}");
        if !body.contains("\"no worker\"") {
            break body;
        }
    };
    assert!(
        body.contains("\"error\":\"may have been executed\""),
        "{body}"
    );
}
