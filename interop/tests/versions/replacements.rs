//! An upgrade, and a downgrade: the other version takes the address of a peer that has stopped.

use interop::{Command, ScriptedClient, Version, VersionBed};
use tokio::sync::watch;

/// Longer than the other version takes to serve, and to start the actor.
const PATIENCE_MILLIS: u64 = 30_000;

pub(crate) async fn a_peer_is_replaced_by_the_other_version_at_its_address(bed: &VersionBed) {
    let clients = Version::BOTH.map(|version| bed.client(version));
    let starter = bed.client(Version::Current);
    let start = async |peer: &str| {
        starter
            .start_actor(peer, "replaced", "echo")
            .await
            .success()
    };
    let mut peer = bed.serving(Version::Previous, "replaced-1", &[]).await;
    start(&peer.id).await;

    let (answers, mut answered) = watch::channel(Some(0));
    let answers = &answers;
    let mut pass = async |count: usize| {
        let before = answered.borrow_and_update().unwrap();
        let enough = |answers: &Option<usize>| answers.is_some_and(|now| now >= before + count);
        answered.wait_for(enough).await.unwrap();
    };
    let replace = async {
        for (name, version) in [
            ("replaced-2", Version::Current),
            ("replaced-3", Version::Previous),
            ("replaced-4", Version::Current),
        ] {
            // Each of them answers for a while.
            pass(200).await;
            let (id, address) = (peer.id.clone(), peer.address());
            assert!(peer.stop().await.success());
            peer = bed.serving(version, name, &["--address", &address]).await;
            assert_eq!(peer.id, id);
            start(&id).await;
        }
        pass(200).await;
        answers.send_replace(None);
        peer
    };
    let asking = clients.iter().map(|client| ask_until(client, answers));
    let (peer, _) = tokio::join!(replace, futures_util::future::join_all(asking));
    assert!(peer.stop().await.success());
}

/// Asks one request after the other, and counts the answers, until there is no count any more. None
/// fails.
async fn ask_until(client: &ScriptedClient, answers: &watch::Sender<Option<usize>>) {
    while answers.borrow().is_some() {
        let answer = client.ask(Command {
            op: "request",
            to: "replaced".to_owned(),
            text: "hello".to_owned(),
            timeout_ms: PATIENCE_MILLIS,
            ..Command::default()
        });
        assert_eq!(answer.await.success().text, "hello");
        answers.send_modify(|count| *count = count.map(|count| count + 1));
    }
}
