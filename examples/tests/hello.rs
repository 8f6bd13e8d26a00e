//! The hello program, as a user runs it.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

#[test]
fn a_worker_on_each_peer_greets_and_all_stop_on_sigterm() {
    let mut hello = Command::new(env!("CARGO_BIN_EXE_hello"))
        .args(["--peers", "2", "--lease-ttl", "5s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(hello.stdout.take().unwrap()).lines();
    let mut seen: Vec<String> = Vec::new();
    while count(&seen, "HELLO ") < 2 {
        seen.push(lines.next().expect("hello ended early").unwrap());
    }
    assert_eq!(count(&seen, "LEADER start peer="), 1, "{seen:#?}");
    assert_eq!(count(&seen, "WORKER start name=worker-"), 2, "{seen:#?}");
    for start in seen.iter().filter(|line| line.starts_with("WORKER start")) {
        let fields: Vec<_> = start.split(' ').collect();
        let peer = fields[3].strip_prefix("peer=").unwrap();
        assert_eq!(fields[2], format!("name=worker-{peer}"));
        let token = fields[4].strip_prefix("token=").unwrap();
        assert!(token.parse::<i64>().unwrap() > 0);
    }

    let id = hello.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let last: Vec<_> = lines.map(Result::unwrap).collect();
    // A peer that learns of its end last may lead for a moment. Each leader that starts also stops.
    let led = 1 + count(&last, "LEADER start peer=");
    assert_eq!(count(&last, "LEADER stop peer="), led, "{last:#?}");
    assert_eq!(count(&last, "WORKER stop name=worker-"), 2, "{last:#?}");
    assert!(hello.wait().unwrap().success());
}

#[test]
fn a_closed_stdout_is_no_panic() {
    let mut hello = Command::new(env!("CARGO_BIN_EXE_hello"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(hello.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let id = hello.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = hello.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn count(lines: &[String], prefix: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(prefix)).count()
}
