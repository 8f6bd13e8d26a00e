//! Every request is accounted for, one by one, while the peer that executes them is killed, stopped
//! and frozen. Times are real here because the promises are about real time.
//!
//! ACCOUNTED_SECONDS sets for how long; 10 s by default.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

mod bed;
mod ledger;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bed::{BOUND, Bed, secs};
use futures_util::future::join_all;
use ledger::{
    Audit, Called, Calls, Folder, Known, LedgerOptions, LedgerPeer, MailboxAccount, read_ledger,
};

const MAILBOXES: usize = 64;
/// The requests in flight to each mailbox: 1,024 in all.
const IN_FLIGHT: usize = 16;
const DEADLINE: Duration = Duration::from_secs(2);
/// The time that an outcome may take beyond its deadline.
const SLACK: Duration = Duration::from_millis(250);
/// From one restart of the peer to the next.
const RESTART_EVERY: Duration = Duration::from_secs(5);
/// By then a client has noticed that a peer is frozen, and given up its link.
const NOTICED: Duration = Duration::from_secs(3);
/// For how long a peer is frozen.
const FROZEN: Duration = Duration::from_secs(4);

fn seconds() -> Duration {
    let seconds = std::env::var("ACCOUNTED_SECONDS").ok();
    secs(seconds.map_or(10, |text| text.parse().unwrap()))
}

/// The requests to the mailbox with this number.
fn calls(number: usize, deadline: Duration, repeats: bool) -> Calls {
    Calls {
        mailbox: format!("m{number}"),
        in_flight: IN_FLIGHT,
        deadline,
        repeats,
    }
}

fn options<'a>(ledger: &'a Path, address: &'a str) -> LedgerOptions<'a> {
    LedgerOptions {
        name: "m",
        ledger,
        mailboxes: MAILBOXES,
        address,
        work_ms: 0,
    }
}

/// Kills the peer or stops it gracefully, in turn, and starts it again, until this time. Returns
/// how often it did.
fn restart(bed: &Bed, ledger: &Path, peer: &mut LedgerPeer, until: Instant) -> usize {
    let etcd = &bed.etcd;
    let mut restarts = 0;
    let mut next = Instant::now() + RESTART_EVERY / 2;
    while next < until {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += RESTART_EVERY;
        if restarts % 2 == 0 {
            peer.process.kill();
            // As after the time to live of its leases.
            for lease in etcd.ctl(["lease", "list"]).lines().skip(1) {
                etcd.ctl(["lease", "revoke", lease.trim()]);
            }
        } else {
            peer.process.terminate();
            assert!(peer.process.wait(BOUND).success());
        }
        let address = peer.address.clone();
        *peer = LedgerPeer::start(bed, &options(ledger, &address));
        restarts += 1;
    }
    restarts
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_accounted_for_while_its_peer_is_killed_and_stopped() {
    let bed = Arc::new(Bed::start().await);
    let folder = Folder::new("accounted");
    let file = folder.file("ledger");
    let options = options(&file, "127.0.0.1:0");
    let mut peer = tokio::task::block_in_place(|| LedgerPeer::start(&bed, &options));
    let time = seconds();
    let until = Instant::now() + time;
    let restarts = {
        let (bed, file) = (bed.clone(), file.clone());
        tokio::task::spawn_blocking(move || {
            let restarts = restart(&bed, &file, &mut peer, until);
            (restarts, peer)
        })
    };
    // Half of them are never sent again, so their order must be that of their first polls.
    let repeats = |number: usize| number % 2 == 1;
    let called = (0..MAILBOXES).map(|number| {
        let calls = calls(number, DEADLINE, repeats(number));
        tokio::spawn(calls.run(bed.client.clone(), until))
    });
    let called = tokio::time::timeout(time + BOUND, join_all(called));
    let called = called.await.expect("a request is without an outcome");
    let (restarts, peer) = restarts.await.unwrap();
    drop(peer);
    let accounts = called.into_iter().enumerate();
    let accounts: Vec<_> = accounts
        .map(|(number, called)| MailboxAccount {
            called: called.unwrap(),
            deadline: DEADLINE,
            in_order: !repeats(number),
        })
        .collect();
    let audit = Audit::new(&accounts, &read_ledger(&file), SLACK);
    println!(
        "{} requests in flight for {time:?}, the peer restarted {restarts} times:\n{audit}",
        MAILBOXES * IN_FLIGHT
    );
    assert!(audit.is_clean(), "{audit}");
    assert!(restarts >= 2 && audit.answered() > 1_000, "{audit}");
}

/// Waits, and then runs something that blocks.
async fn later<R>(after: Duration, act: impl FnOnce() -> R) -> R {
    tokio::time::sleep(after).await;
    tokio::task::block_in_place(act)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_was_frozen_executes_nothing_of_its_older_link_behind_the_newer_one() {
    let bed = Bed::start().await;
    let folder = Folder::new("frozen");
    let file = folder.file("ledger");
    let options = LedgerOptions {
        // So that requests are queued when it is frozen.
        work_ms: 2,
        ..options(&file, "127.0.0.1:0")
    };
    let mut peer = tokio::task::block_in_place(|| LedgerPeer::start(&bed, &options));
    // Some are given up while the peer is frozen, and followed by others.
    let deadline = |number: usize| match number.is_multiple_of(2) {
        true => DEADLINE,
        false => 3 * DEADLINE,
    };
    let until = Instant::now() + secs(8);
    let called = (0..MAILBOXES).map(|number| {
        let calls = calls(number, deadline(number), false);
        tokio::spawn(calls.run(bed.client.clone(), until))
    });
    let called = tokio::spawn(join_all(called));
    later(secs(1), || peer.process.pause()).await;
    let frozen = Instant::now();
    later(FROZEN, || peer.process.resume()).await;
    let called: Vec<Vec<Called>> = called
        .await
        .unwrap()
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let ledger = read_ledger(&file);
    let accounts = called.into_iter().enumerate();
    let accounts: Vec<_> = accounts
        .map(|(number, called)| MailboxAccount {
            called,
            deadline: deadline(number),
            in_order: true,
        })
        .collect();
    let audit = Audit::new(&accounts, &ledger, SLACK);

    let newer_from = frozen + NOTICED;
    let of_older = |called: &Called| {
        let ended = called.begun + called.took;
        called.known == Known::PerhapsExecuted && called.begun < newer_from && ended > frozen
    };
    let of_newer = |called: &Called| called.known == Known::Answered && called.begun > newer_from;
    let at = |&(mailbox, number): &(u32, u32)| accounts[mailbox as usize].called[number as usize];
    let older = accounts.iter().flat_map(|account| &account.called);
    let older = older.filter(|called| of_older(called)).count();
    let first = ledger.iter().position(|entry| of_newer(&at(entry)));
    let first = first.expect("it serves over a newer link");
    let late = ledger.iter().skip(first);
    let late = late.filter(|entry| of_older(&at(entry))).count();
    println!(
        "a peer frozen for {FROZEN:?} with {older} requests of a link that the client gave up: \
         {late} of them were executed behind the first of the next link\n{audit}"
    );
    assert!(older >= MAILBOXES, "{older}");
    assert_eq!(late, 0);
    assert!(audit.is_clean(), "{audit}");
}

/// The accounts and the ledger of a few requests, all in order, and one fault in them.
#[test]
fn an_audit_finds_each_fault() {
    use Known::{Answered, NotExecuted, Open, PerhapsExecuted};
    let called = |known| Called {
        known,
        begun: Instant::now(),
        took: Duration::from_millis(1),
    };
    let account = |known: [Known; 4]| MailboxAccount {
        called: known.map(called).to_vec(),
        deadline: DEADLINE,
        in_order: true,
    };
    let known = [Answered, PerhapsExecuted, NotExecuted, Answered];
    let clean = Audit::new(&[account(known)], &[(0, 0), (0, 1), (0, 3)], SLACK);
    assert!(clean.is_clean(), "{clean}");
    let late = [MailboxAccount {
        deadline: Duration::ZERO,
        ..account(known)
    }];
    let faulty = [
        ("twice", account(known), vec![(0, 0), (0, 3), (0, 3)]),
        ("later", account(known), vec![(0, 3), (0, 0)]),
        ("never executed", account(known), vec![(0, 0)]),
        (
            "as not executed",
            account(known),
            vec![(0, 0), (0, 2), (0, 3)],
        ),
        ("never sent", account(known), vec![(0, 0), (0, 3), (0, 4)]),
        (
            "without an outcome",
            account([Answered, Open, NotExecuted, Answered]),
            vec![(0, 0), (0, 3)],
        ),
    ];
    for (fault, account, ledger) in faulty {
        let audit = Audit::new(&[account], &ledger, SLACK).to_string();
        assert_eq!(audit.matches("FAULT").count(), 1, "{audit}");
        assert!(audit.contains(fault), "{audit}");
    }
    let audit = Audit::new(&late, &[(0, 0), (0, 3)], Duration::ZERO).to_string();
    assert!(
        audit.contains("FAULT: 4 without an outcome in time"),
        "{audit}"
    );
}
