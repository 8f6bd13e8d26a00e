//! Queries and watches: each library sees what the other registers.

use actorgrid::{ActorStart, Kind as Registered, Registration, Watch, WatchEvent};
use futures_util::FutureExt as _;
use interop::{Bed, Command, Entry, Kind, Replies};

const KINDS: [(Registered, &str); 3] = [
    (Registered::Peer, "peer"),
    (Registered::Actor, "actor"),
    (Registered::Mailbox, "mailbox"),
];

/// Waits for the next event of one of these names.
async fn next_of(watch: &mut Watch, names: &[&str]) -> WatchEvent {
    let wanted = async {
        loop {
            let event = watch.next().await;
            if let WatchEvent::Appeared(it) | WatchEvent::Disappeared(it) = &event
                && names.contains(&it.name.as_str())
            {
                return event;
            }
        }
    };
    let event = tokio::time::timeout(interop::secs(60), wanted).await;
    event.unwrap_or_else(|_| panic!("no event of {names:?}"))
}

async fn appeared(watch: &mut Watch, name: &str) -> Registration {
    match next_of(watch, &[name]).await {
        WatchEvent::Appeared(registration) => registration,
        other => panic!("{other:?}"),
    }
}

async fn disappeared(watch: &mut Watch, name: &str) -> Registration {
    match next_of(watch, &[name]).await {
        WatchEvent::Disappeared(registration) => registration,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn rust_sees_go_come_and_go(bed: &Bed) {
    let mut watches = Vec::new();
    for (kind, _) in KINDS {
        watches.push(bed.rust.watch(kind).await.unwrap().1);
    }
    let [peers, actors, mailboxes] = &mut watches[..] else {
        unreachable!()
    };
    let options = ["-annotations", "zone-b,zone-a"];
    let go = bed.serving(Kind::Go, "go-seen", &options).await;
    let (peer, address) = (go.id.clone(), go.address());

    let seen = appeared(peers, &peer).await;
    assert_eq!(seen.peer.as_str(), peer);
    assert_eq!(seen.address.to_string(), address);
    // The Go library sorts them.
    assert_eq!(*seen.annotations, ["zone-a", "zone-b"]);
    assert_eq!(appeared(mailboxes, &peer).await.peer.as_str(), peer);
    for name in ["seen-1", "seen-2"] {
        let start = ActorStart::new(name, "echo");
        bed.rust.start(peer.as_str(), start).await.unwrap();
        for watch in [&mut *actors, &mut *mailboxes] {
            let seen = appeared(watch, name).await;
            assert_eq!(
                (seen.peer.as_str(), &*seen.annotations),
                (peer.as_str(), &[][..])
            );
        }
    }
    for (kind, names) in [
        (Registered::Peer, [peer.as_str()].as_slice()),
        (Registered::Actor, &["seen-1", "seen-2"]),
        (Registered::Mailbox, &["seen-1", "seen-2", &peer]),
    ] {
        let listed = bed.rust.query(kind).await.unwrap();
        for name in names {
            let one = listed.iter().find(|one| one.name.as_str() == *name);
            assert_eq!(one.unwrap().peer.as_str(), peer);
        }
    }
    // One actor leaves, the other disappears with its peer.
    bed.go.request("seen-1", "leave").await.success();
    for watch in [&mut *actors, &mut *mailboxes] {
        assert_eq!(disappeared(watch, "seen-1").await.peer.as_str(), peer);
    }
    assert!(go.stop().await.success());
    assert_eq!(disappeared(actors, "seen-2").await.peer.as_str(), peer);
    // In any order.
    let mut left = vec!["seen-2", peer.as_str()];
    while !left.is_empty() {
        let gone = next_of(mailboxes, &left).await;
        let WatchEvent::Disappeared(gone) = gone else {
            panic!("{gone:?}")
        };
        assert_eq!(gone.peer.as_str(), peer);
        left.retain(|name| *name != gone.name.as_str());
    }
    assert_eq!(
        *disappeared(peers, &peer).await.annotations,
        ["zone-a", "zone-b"]
    );
}

async fn go_watch(bed: &Bed, kind: &str) -> Replies {
    let command = Command {
        op: "watch",
        kind: kind.to_owned(),
        // How long to wait for a reply.
        timeout_ms: 60_000,
        ..Command::default()
    };
    let mut replies = bed.go.command(command).await;
    assert_eq!(replies.next().await.success().event, "now");
    replies
}

/// Returns the next event of this name: its kind and what the Go client reports.
async fn reported(replies: &mut Replies, name: &str) -> (String, Entry) {
    loop {
        let mut reply = replies.next().await.success();
        let entry = reply.entries.remove(0);
        if entry.name == name {
            return (reply.event, entry);
        }
    }
}

pub(crate) async fn go_sees_rust_come_and_go(bed: &Bed) {
    let (mut peers, mut actors, mut mailboxes) = (
        go_watch(bed, "peer").await,
        go_watch(bed, "actor").await,
        go_watch(bed, "mailbox").await,
    );
    let options = ["--annotations", "zone-b,zone-a"];
    let rust = bed.serving(Kind::Rust, "rust-seen", &options).await;
    let peer = rust.id.clone();
    let entry = |name: &str, annotations: Option<&[&str]>| Entry {
        name: name.to_owned(),
        peer: peer.clone(),
        annotations: annotations.map(|all| all.iter().map(ToString::to_string).collect()),
    };
    let found = |entry: Entry| ("found".to_owned(), entry);
    let annotated = entry(&peer, Some(&["zone-a", "zone-b"]));
    assert_eq!(reported(&mut peers, &peer).await, found(annotated.clone()));
    assert_eq!(
        reported(&mut mailboxes, &peer).await,
        found(entry(&peer, None))
    );
    for name in ["shown-1", "shown-2"] {
        bed.go.start_actor(&peer, name, "echo").await.success();
        for watch in [&mut actors, &mut mailboxes] {
            assert_eq!(reported(watch, name).await, found(entry(name, None)));
        }
    }
    for (kind, name) in [
        ("peer", peer.as_str()),
        ("actor", "shown-1"),
        ("mailbox", "shown-2"),
    ] {
        let listed = bed.go.ask(Command {
            op: "query",
            kind: kind.to_owned(),
            ..Command::default()
        });
        // Queries of the Go library never report annotations.
        assert!(
            listed.await.success().entries.contains(&entry(name, None)),
            "{name}"
        );
    }
    bed.go.request("shown-1", "leave").await.success();
    // In the Go library, the loss of an actor or a mailbox has no peer.
    let lost = |name: &str| {
        let lost = Entry {
            name: name.to_owned(),
            peer: String::new(),
            annotations: Some(Vec::new()),
        };
        ("lost".to_owned(), lost)
    };
    for watch in [&mut actors, &mut mailboxes] {
        assert_eq!(reported(watch, "shown-1").await, lost("shown-1"));
    }
    assert!(rust.stop().await.success());
    for watch in [&mut actors, &mut mailboxes] {
        assert_eq!(reported(watch, "shown-2").await, lost("shown-2"));
    }
    let (event, gone) = reported(&mut peers, &peer).await;
    assert_eq!(
        (event.as_str(), gone.name.as_str()),
        ("lost", peer.as_str())
    );
    // Nothing more is reported of it.
    assert!(reported(&mut peers, &peer).now_or_never().is_none());
}
