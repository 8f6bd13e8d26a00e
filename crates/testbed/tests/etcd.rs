//! A real etcd that is started, frozen, killed and restarted.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use testbed::{Etcd, EtcdCluster};

#[test]
fn answers_and_leaves_nothing_behind() {
    let etcd = Etcd::start();
    assert_eq!(etcd.url(), format!("etcd://{}", etcd.address()));
    assert!(etcd.version().starts_with("3."), "{}", etcd.version());
    assert!(etcd.is_healthy());
    assert!(!etcd.log().is_empty());

    let process = format!("/proc/{}", etcd.id().unwrap());
    let address = etcd.address();
    assert!(Path::new(&process).exists());
    drop(etcd);
    assert!(!Path::new(&process).exists());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn keeps_its_ports_and_data_over_a_kill_and_a_stop() {
    let mut etcd = Etcd::start();
    let address = etcd.address();
    etcd.ctl(["put", "key", "value"]);

    etcd.kill();
    assert_eq!(etcd.id(), None);
    assert!(!etcd.is_healthy());
    etcd.restart();
    assert_eq!(etcd.address(), address);
    assert_eq!(etcd.ctl(["get", "key", "--print-value-only"]), "value\n");

    etcd.stop();
    assert!(!etcd.is_healthy());
    etcd.restart();
    assert_eq!(etcd.ctl(["get", "key", "--print-value-only"]), "value\n");
}

#[test]
fn answers_nothing_while_it_is_paused() {
    let mut etcd = Etcd::start();
    etcd.pause();
    // Its kernel still accepts connections for it.
    let mut stream = TcpStream::connect(etcd.address()).unwrap();
    stream.write_all(b"GET /version HTTP/1.0\r\n\r\n").unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert!(stream.read(&mut [0; 64]).is_err());

    etcd.resume();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(etcd.version()), "{answer}");
    etcd.wait_until_healthy();

    etcd.pause();
    etcd.stop();
}

#[test]
fn a_cluster_outlives_one_member_but_not_two() {
    let mut cluster = EtcdCluster::start(3);
    assert_eq!(cluster.url().matches(',').count(), 2);
    let [first, second, third] = cluster.members_mut() else {
        panic!("a cluster of three has three members");
    };
    first.ctl(["put", "key", "value"]);

    first.kill();
    second.wait_until_healthy();
    assert_eq!(second.ctl(["get", "key", "--print-value-only"]), "value\n");
    second.kill();
    while third.is_healthy() {}

    first.launch();
    second.launch();
    for member in [first, second, third] {
        member.wait_until_healthy();
    }
}

#[test]
#[should_panic(expected = "request is too large")]
fn takes_options() {
    let etcd = Etcd::start_with(["--max-request-bytes=1000"]);
    etcd.ctl(["put", "key", &"x".repeat(500)]);
    etcd.ctl(["put", "key", &"x".repeat(2_000)]);
}

#[test]
#[should_panic(expected = "flag provided but not defined: -no-such-option")]
fn says_why_it_does_not_start() {
    let _ = Etcd::start_with(["--no-such-option"]);
}

#[test]
fn reports_its_metrics() {
    let etcd = Etcd::start();
    let watchers = "etcd_debugging_mvcc_watcher_total";
    assert_eq!(etcd.metric(watchers).to_string(), "0");
    let puts = "etcd_mvcc_put_total";
    let before = etcd.metric(puts);
    etcd.ctl(["put", "key", "value"]);
    assert!(etcd.metric(puts) > before);
}
