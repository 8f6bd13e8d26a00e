//! Small scripts as processes under test.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testbed::{Process, Transcript};

const BOUND: Duration = Duration::from_secs(30);
const MOMENT: Duration = Duration::from_millis(200);

fn script(text: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", text]);
    command
}

#[test]
fn its_lines_are_kept_with_their_times() {
    let mut process = Process::start(
        script("echo LEADER start peer=$PEER token=17; echo end; exit 3").env("PEER", "p"),
    );
    assert_eq!(process.name(), "sh");
    let start = process.wait_for_line(|line| line.text.starts_with("LEADER"), BOUND);
    assert_eq!(
        (start.field("peer"), start.field("token")),
        (Some("p"), Some("17"))
    );
    assert_eq!(start.field("to"), None);
    let end = process.wait_for_line_from(start.index + 1, |_| true, BOUND);
    assert_eq!(end.text, "end");
    assert!(end.at >= start.at);
    assert_eq!(process.wait(BOUND).code(), Some(3));
    assert_eq!(process.lines().len(), 2);
}

#[test]
fn all_output_is_kept_once_it_has_ended() {
    let mut process = Process::start(&mut script("seq 1 20000"));
    assert!(process.wait(BOUND).success());
    assert_eq!(process.lines().len(), 20_000);
    process.terminate();
    process.kill();
}

#[test]
#[should_panic(expected = "no such line before all output ended")]
fn a_line_that_cannot_come_is_not_waited_for() {
    let process = Process::start(&mut script("echo one"));
    process.wait_for_line(|line| line.text == "two", Duration::from_secs(3_600));
}

#[test]
#[should_panic(expected = "no such line in time")]
fn a_wait_for_a_line_ends_at_its_bound() {
    let process = Process::start(&mut script("echo one; exec sleep 3600"));
    process.wait_for_line(|line| line.text == "two", MOMENT);
}

#[test]
fn a_missing_line_is_an_error_of_find_line_from() {
    let process = Process::start(&mut script("echo one"));
    let transcript = process.transcript();
    let find = |text| transcript.find_line_from(0, |line| line.text == text, BOUND);
    assert_eq!(find("one").unwrap().index, 0);
    assert_eq!(find("two").unwrap_err(), "before all output ended");
}

#[test]
fn it_is_asked_to_end() {
    let mut process = Process::start(&mut script(
        "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.01; done",
    ));
    process.wait_for_line(|line| line.text == "up", BOUND);
    assert_eq!(process.ended(), None);
    process.terminate();
    process.wait_for_line(|line| line.text == "asked", BOUND);
    assert!(process.wait(BOUND).success());
}

#[test]
fn it_makes_no_progress_while_it_is_paused() {
    let mut process = Process::start(&mut script("while :; do echo tick; sleep 0.01; done"));
    let state = format!("/proc/{}/stat", process.id());
    let is_stopped = || std::fs::read_to_string(&state).unwrap().contains(") T ");
    process.wait_for_line(|_| true, BOUND);
    process.pause();
    assert!(is_stopped());
    process.resume();
    assert!(!is_stopped());
    process.wait_for_line_from(process.transcript().len(), |_| true, BOUND);
    process.pause();
    process.kill();
    assert!(!process.wait(BOUND).success());
}

#[test]
fn several_write_one_transcript() {
    let transcript = Transcript::new();
    let ticker = "while :; do echo tick; sleep 0.01; done";
    let one = Process::start_in(&transcript, "one", &mut script(ticker));
    let mut two = Process::start_in(&transcript, "two", &mut script(ticker));
    transcript.wait_for_line(|line| &*line.process == "one", BOUND);
    transcript.wait_for_line(|line| &*line.process == "two", BOUND);
    two.kill();
    let killed = transcript.len();
    let next = transcript.wait_for_line_from(killed, |_| true, BOUND);
    assert_eq!(&*next.process, one.name());
    assert!(one.lines().len() < transcript.len());
}

#[test]
fn it_is_killed_when_dropped() {
    let process = Process::start(&mut script("exec sleep 3600"));
    let id = format!("/proc/{}", process.id());
    assert!(Path::new(&id).exists());
    drop(process);
    assert!(!Path::new(&id).exists());
}
