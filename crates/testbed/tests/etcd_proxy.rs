//! A proxy that alters parts of calls to a real etcd.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testbed::{Etcd, EtcdProxy, Fate, PartKind};

/// Returns an `etcdctl` command that uses the proxy.
fn ctl(proxy: &EtcdProxy, arguments: &[&str]) -> Command {
    let mut command = Command::new(Etcd::program().with_file_name("etcdctl"));
    command
        .arg(format!("--endpoints=http://{}", proxy.address()))
        .arg("--command-timeout=2s")
        .args(arguments);
    command
}

fn says(proxy: &EtcdProxy, arguments: &[&str]) -> String {
    let output = ctl(proxy, arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn watch(proxy: &EtcdProxy, key: &str) -> Child {
    ctl(proxy, &["watch", key])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn passes_on_delays_swallows_and_counts() {
    let etcd = Etcd::start();
    let proxy = EtcdProxy::of(etcd.address());
    assert_eq!(says(&proxy, &["put", "key", "value"]), "OK\n");
    assert_eq!(
        says(&proxy, &["get", "key", "--print-value-only"]),
        "value\n"
    );
    assert!(proxy.accepted() >= 2 && proxy.calls() >= 2);

    // A call whose answer is swallowed is executed all the same.
    proxy.set_rule(|part| match part.kind {
        PartKind::Reply | PartKind::Trailers if part.method.ends_with("/Put") => Fate::Swallow,
        _ => Fate::Pass,
    });
    assert_eq!(says(&proxy, &["put", "key", "new"]), "");
    assert_eq!(says(&proxy, &["get", "key", "--print-value-only"]), "new\n");

    proxy.set_rule(|part| match part.kind {
        PartKind::Request => Fate::Delay(Duration::from_secs(5)),
        _ => Fate::Pass,
    });
    assert_eq!(says(&proxy, &["get", "key"]), "");
    proxy.pass_all();
    proxy.refuse(true);
    assert_eq!(says(&proxy, &["get", "key"]), "");
    assert_eq!(proxy.connections(), 0);
    proxy.refuse(false);
    let other = Etcd::start();
    proxy.set_server(other.address());
    assert_eq!(says(&proxy, &["get", "key"]), "");
    assert_eq!(says(&proxy, &["put", "key", "other"]), "OK\n");
}

#[test]
fn swallows_single_events_of_a_watch() {
    let etcd = Etcd::start();
    let proxy = EtcdProxy::of(etcd.address());
    let created = Arc::new(AtomicUsize::new(0));
    let counter = created.clone();
    proxy.set_rule(move |part| {
        if part.is_created_reply() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        match part.has_events() && part.contains("second") {
            true => Fate::Swallow,
            false => Fate::Pass,
        }
    });
    let mut watch = watch(&proxy, "key");
    while created.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    for value in ["first", "second", "third"] {
        etcd.ctl(["put", "key", value]);
    }
    let mut output = std::io::BufReader::new(watch.stdout.take().unwrap());
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "third") {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        lines.push(line.trim_end().to_owned());
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert_eq!(lines, ["PUT", "key", "first", "PUT", "key", "third"]);
}
