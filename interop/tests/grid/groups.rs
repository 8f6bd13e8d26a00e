//! Broadcasts to groups with members of both libraries.

use actorgrid::{EchoMsg, Group, Outcome, RequestErrorKind};
use interop::{Bed, Command, Kind};

const MEMBERS: [(&str, Kind, &str); 6] = [
    ("b-echo-go", Kind::Go, "echo"),
    ("b-echo-rust", Kind::Rust, "echo"),
    ("b-slow-go", Kind::Go, "slow"),
    ("b-slow-rust", Kind::Rust, "slow"),
    ("b-error-go", Kind::Go, "error"),
    ("b-error-rust", Kind::Rust, "error"),
];

pub(crate) async fn a_mixed_group_answers_both(bed: &Bed) {
    let go = bed.serving(Kind::Go, "go-grouped", &[]).await;
    let rust = bed.serving(Kind::Rust, "rust-grouped", &[]).await;
    for (name, kind, actor_type) in MEMBERS {
        let peer = if kind == Kind::Go { &go } else { &rust };
        bed.go
            .start_actor(&peer.id, name, actor_type)
            .await
            .success();
        // A Go actor opens its mailbox a moment later.
        let there = bed.rust.request(name, EchoMsg::new("1")).wait_for_name();
        assert!(there.await.is_ok() || actor_type == "error");
    }
    let mut group = Group::new(MEMBERS.map(|(name, ..)| name)).unwrap();
    group.add("b-nobody").unwrap();

    // A broadcast to all: each member has its outcome, and those that did not reply are asked
    // again.
    let result = bed.rust.broadcast(&group, EchoMsg::new("200")).await;
    let replied: Vec<_> = result.successes().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        replied,
        ["b-echo-go", "b-echo-rust", "b-slow-go", "b-slow-rust"]
    );
    let failed: Vec<_> = result
        .failures()
        .map(|(name, error)| (name.as_str(), error.kind(), error.may_have_executed()))
        .collect();
    let application = RequestErrorKind::Application;
    assert_eq!(
        failed,
        [
            ("b-error-go", application, true),
            ("b-error-rust", application, true),
            ("b-nobody", RequestErrorKind::UnknownName, false),
        ]
    );
    assert!(!result.is_complete());
    let left = group.except_successes(&result);
    assert_eq!(left.len(), 3);

    the_fastest_of_either_library_wins(bed).await;
    a_broadcast_of_go_reaches_both(bed).await;
}

async fn the_fastest_of_either_library_wins(bed: &Bed) {
    // Requests to slow members are cancelled, whichever library they use.
    let group = Group::new(["b-slow-go", "b-error-go", "b-echo-rust", "b-slow-rust"]).unwrap();
    let result = bed.rust.broadcast(&group, EchoMsg::new("3000")).fastest();
    let result = result.await.into_result().unwrap();
    assert_eq!(result.first().unwrap().0.as_str(), "b-echo-rust");
    for name in ["b-slow-go", "b-slow-rust"] {
        let outcome = result.get(name).unwrap();
        assert!(
            matches!(
                outcome,
                Outcome::Cancelled {
                    may_have_executed: true
                }
            ),
            "{outcome:?}"
        );
    }
    let group = Group::new(["b-slow-rust", "b-echo-go"]).unwrap();
    let result = bed.rust.broadcast(&group, EchoMsg::new("3000")).fastest();
    let result = result.await.into_result().unwrap();
    assert_eq!(result.first().unwrap().0.as_str(), "b-echo-go");

    // Once the next request is answered, the cancelled ones have ended.
    for name in ["b-slow-go", "b-slow-rust"] {
        let free = bed.rust.request(name, EchoMsg::new("1"));
        free.deadline(interop::secs(20)).await.unwrap();
    }
}

async fn a_broadcast_of_go_reaches_both(bed: &Bed) {
    let broadcast = |members: &[&str], fastest| {
        bed.go.ask(Command {
            op: "broadcast",
            members: members.iter().map(ToString::to_string).collect(),
            fastest,
            text: "200".to_owned(),
            ..Command::default()
        })
    };
    let reply = broadcast(&MEMBERS.map(|(name, ..)| name), false).await;
    assert_eq!(reply.failure(), (-1, "grid: incomplete broadcast"));
    assert_eq!(reply.results.len(), MEMBERS.len());
    for (name, result) in &reply.results {
        match &result.error {
            Some(error) => {
                assert!(name.starts_with("b-error"), "{name}");
                assert_eq!((error.code, error.text.as_str()), (2, "200"));
            }
            None => assert!(!name.starts_with("b-error"), "{name}"),
        }
    }
    let reply = broadcast(&["b-slow-rust", "b-echo-rust", "b-echo-go"], true)
        .await
        .success();
    assert!(reply.results.values().any(|result| result.error.is_none()));
}
