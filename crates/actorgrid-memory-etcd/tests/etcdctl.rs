//! Runs `etcdctl` against a server, as a user would.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // clippy exempts test functions only

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use actorgrid_memory_etcd::MemoryEtcd;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// A server on a port of the loopback, on a thread of its own.
struct Served {
    etcd: MemoryEtcd,
    address: SocketAddr,
    _runtime: Runtime,
}

impl Served {
    fn start() -> Self {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let (etcd, address) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let url = format!("http://{address}");
            let etcd = MemoryEtcd::builder().client_url(url).build();
            let served = etcd.clone();
            tokio::spawn(async move { served.serve(listener).await });
            (etcd, address)
        });
        Self {
            etcd,
            address,
            _runtime: runtime,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(testbed::Etcd::program().with_file_name("etcdctl"));
        command.arg(format!("--endpoints=http://{}", self.address));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command and returns what it prints.
    fn ctl(&self, arguments: &[&str]) -> String {
        printed(self.command(arguments).output().unwrap())
    }

    /// Runs a command with this input.
    fn ctl_with_input(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        printed(child.wait_with_output().unwrap())
    }
}

fn printed(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn keys_are_put_read_and_deleted() {
    let served = Served::start();
    assert_eq!(served.ctl(&["put", "a", "1"]), "OK\n");
    assert_eq!(served.ctl(&["put", "a", "2", "--prev-kv"]), "OK\na\n1\n");
    assert_eq!(served.ctl(&["put", "ab", "3"]), "OK\n");
    assert_eq!(served.ctl(&["get", "a"]), "a\n2\n");
    assert_eq!(served.ctl(&["get", "a", "--rev=2"]), "a\n1\n");
    let keys = served.ctl(&["get", "a", "--prefix", "--keys-only"]);
    assert_eq!(keys, "a\n\nab\n\n");
    assert_eq!(served.ctl(&["del", "a", "--prefix"]), "2\n");
    assert_eq!(served.ctl(&["compact", "4"]), "compacted revision 4\n");
    assert_eq!((served.etcd.revision(), served.etcd.keys().len()), (5, 0));
}

#[test]
fn transactions_choose_a_branch() {
    let served = Served::start();
    let txn = "version(\"a\") = \"0\"\n\nput a first\n\nget a\n\n";
    assert_eq!(served.ctl_with_input(&["txn"], txn), "SUCCESS\n\nOK\n");
    assert_eq!(
        served.ctl_with_input(&["txn"], txn),
        "FAILURE\n\na\nfirst\n"
    );
}

#[test]
fn a_watch_prints_the_past() {
    let served = Served::start();
    served.ctl(&["put", "a", "1"]);
    served.ctl(&["put", "a", "2"]);
    served.ctl(&["del", "a"]);
    let mut command = served.command(&["watch", "a", "--rev=2"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let expected = ["PUT", "a", "1", "PUT", "a", "2", "DELETE", "a"];
    let read: Vec<String> = lines
        .by_ref()
        .take(expected.len())
        .map(Result::unwrap)
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(read, expected);
    assert_eq!(served.etcd.revision(), 4);
}

#[test]
fn leases_are_granted_renewed_and_revoked() {
    let served = Served::start();
    let granted = served.ctl(&["lease", "grant", "60"]);
    let id = granted.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(granted, format!("lease {id} granted with TTL(60s)\n"));
    served.ctl(&["put", "a", "1", &format!("--lease={id}")]);
    let kept = served.ctl(&["lease", "keep-alive", "--once", &id]);
    assert_eq!(kept, format!("lease {id} keepalived with TTL(60)\n"));
    let time = served.ctl(&["lease", "timetolive", &id, "--keys"]);
    assert!(
        time.contains("granted with TTL(60s)") && time.contains("attached keys([a])"),
        "{time}"
    );
    assert!(served.ctl(&["lease", "list"]).contains(&id));
    assert_eq!(
        served.ctl(&["lease", "revoke", &id]),
        format!("lease {id} revoked\n")
    );
    assert!(served.etcd.keys().is_empty() && served.etcd.leases() == 0);
}

#[test]
fn the_member_presents_itself() {
    let served = Served::start();
    let members = served.ctl(&["member", "list"]);
    assert!(
        members.contains("started, memory") && members.contains("http://127.0.0.1"),
        "{members}"
    );
    let status = served.ctl(&["endpoint", "status"]);
    assert!(status.contains("3.6.16"), "{status}");
    served.ctl(&["endpoint", "health"]);
    assert_eq!(served.ctl(&["alarm", "list"]), "");
    served.etcd.faults().fill(true);
    assert!(served.ctl(&["alarm", "list"]).contains("NOSPACE"));
    let refused = served.command(&["put", "a", "1"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("database space exceeded"));
    served.ctl(&["alarm", "disarm"]);
    assert_eq!(served.ctl(&["put", "a", "1"]), "OK\n");
}
