//! Requests, from each version to each.

use interop::{Command, Version, VersionBed};

/// The bound for the first call of a client to a peer, which opens the connection.
const FIRST_CALL_MILLIS: u64 = 1000;

pub(crate) async fn every_client_asks_every_peer(bed: &VersionBed) {
    for of_peer in Version::BOTH {
        let name = format!("asked-{}", of_peer.as_str());
        let peer = bed.serving(of_peer, &name, &[]).await;
        let starter = bed.client(of_peer);
        starter.start_actor(&peer.id, &name, "echo").await.success();
        for of_client in Version::BOTH {
            let client = bed.client(of_client);
            // Connects to the registry and looks the name up.
            let listed = client.ask(query("mailbox")).await.success();
            assert!(listed.entries.iter().any(|entry| entry.name == name));
            let first = client.request(&name, "hello").await.success();
            assert_eq!(first.text, "hello");
            println!(
                "the first call of the {} version to the {} one takes {:.1} ms",
                of_client.as_str(),
                of_peer.as_str(),
                first.took_us as f64 / 1000.0
            );
            assert!(first.took_us < FIRST_CALL_MILLIS * 1000, "{first:?}");
            // Over a link, messages beyond 64 KiB travel in chunks.
            for size in [0, 4096, 65_000, 70_000, 3_000_000] {
                let answer = client.ask(Command {
                    op: "request",
                    to: name.clone(),
                    size,
                    ..Command::default()
                });
                assert_eq!(answer.await.success().length, size);
            }
            let many = (0..500).map(|number| {
                let (client, name) = (&client, &name);
                async move {
                    let text = number.to_string();
                    assert_eq!(client.request(name, &text).await.success().text, text);
                }
            });
            futures_util::future::join_all(many).await;
        }
        assert!(peer.stop().await.success());
    }
}

fn query(kind: &str) -> Command {
    Command {
        op: "query",
        kind: kind.to_owned(),
        ..Command::default()
    }
}

pub(crate) async fn errors_arrive_as_they_are(bed: &VersionBed) {
    for of_peer in Version::BOTH {
        let name = format!("failing-{}", of_peer.as_str());
        let peer = bed.serving(of_peer, &name, &[]).await;
        let silent = format!("silent-{}", of_peer.as_str());
        let starter = bed.client(of_peer);
        for (name, actor_type) in [(&name, "error"), (&silent, "silent")] {
            starter
                .start_actor(&peer.id, name, actor_type)
                .await
                .success();
        }
        for of_client in Version::BOTH {
            let client = bed.client(of_client);
            for (to, text, error) in [
                (&name, "broke", "Application, may have executed: "),
                (&silent, "drop", "NoReply, may have executed: "),
                (&silent, "keep", "DeadlineExceeded, may have executed: "),
            ] {
                let failed = client.ask(Command {
                    op: "request",
                    to: to.clone(),
                    text: text.to_owned(),
                    timeout_ms: 1000,
                    ..Command::default()
                });
                let failed = failed.await;
                assert!(failed.failure().1.starts_with(error), "{failed:?}");
            }
            let unknown = client.start_actor(&peer.id, "nobody", "no-such-type").await;
            let error = "UnknownActorType, not executed: ";
            assert!(unknown.failure().1.starts_with(error), "{unknown:?}");
        }
        assert!(peer.stop().await.success());
    }
}
