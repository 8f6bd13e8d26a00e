//! Starts of actors on peers of the other version.

use actorgrid::Kind as Registered;
use interop::{Reply, ScriptedClient, Version, VersionBed};

/// Asks the leader to start an actor.
async fn start_by_leader(client: &ScriptedClient, leader: &str, peer: &str, name: &str) -> Reply {
    let request = format!("{peer} {name} where");
    client.request(leader, &request).await
}

pub(crate) async fn leaders_start_actors_on_peers_of_the_other_version(bed: &VersionBed) {
    for of_leader in Version::BOTH {
        let (of_worker, version) = (of_leader.other(), of_leader.as_str());
        let name = |of: &str| format!("{of}-of-{version}");
        let leading = bed.serving(of_leader, &name("leading"), &[]).await;
        let working = bed.serving(of_worker, &name("working"), &[]).await;
        let client = bed.client(of_worker);
        // Does what the leader does, of which there is one at a time.
        let leader = name("starter");
        client
            .start_actor(&leading.id, &leader, "starter")
            .await
            .success();
        for number in 0..20 {
            let actor = name(&format!("worker-{number}"));
            start_by_leader(&client, &leader, &working.id, &actor)
                .await
                .success();
            for version in Version::BOTH {
                let place = bed.client(version).request(&actor, "").await.success();
                assert_eq!(place.text, working.id);
            }
        }
        assert!(working.stop().await.success());
        assert!(leading.stop().await.success());
    }
}

/// Ends an actor, and waits until its name and that of its mailbox are free: a start takes both.
async fn leave(bed: &VersionBed, client: &ScriptedClient, name: &str) {
    client.request(name, "leave").await.success();
    let is_registered = async || {
        let actors = bed.client.query(Registered::Actor).await.unwrap();
        let mailboxes = bed.client.query(Registered::Mailbox).await.unwrap();
        let mut all = actors.iter().chain(&mailboxes);
        all.any(|one| one.name.as_str() == name)
    };
    while is_registered().await {}
}

pub(crate) async fn names_are_unique_among_both_versions(bed: &VersionBed) {
    let previous = bed.serving(Version::Previous, "unique-previous", &[]).await;
    let current = bed.serving(Version::Current, "unique-current", &[]).await;
    let clients = Version::BOTH.map(|version| bed.client(version));
    for (first, second) in [(&previous, &current), (&current, &previous)] {
        for client in &clients {
            client
                .start_actor(&first.id, "unique", "where")
                .await
                .success();
            let taken = client.start_actor(&second.id, "unique", "where").await;
            let error = "AlreadyRunning, not executed: ";
            assert!(taken.failure().1.starts_with(error), "{taken:?}");
            for client in &clients {
                let place = client.request("unique", "").await.success();
                assert_eq!(place.text, first.id);
            }
            // It moves to the other version, and clients follow.
            leave(bed, client, "unique").await;
            client
                .start_actor(&second.id, "unique", "where")
                .await
                .success();
            for client in &clients {
                let place = client.request("unique", "").await.success();
                assert_eq!(place.text, second.id);
            }
            leave(bed, client, "unique").await;
        }
    }
    // Of many starts at once, one succeeds.
    for round in 0..10 {
        let name = format!("contested-{round}");
        let starts = (0..8).map(|number| {
            let peer = [&previous, &current][number % 2];
            let client = &clients[number / 2 % 2];
            client.start_actor(&peer.id, &name, "where")
        });
        let replies = futures_util::future::join_all(starts).await;
        let started = replies.iter().filter(|reply| reply.error.is_none()).count();
        assert_eq!(started, 1, "{replies:?}");
    }
    assert!(previous.stop().await.success());
    assert!(current.stop().await.success());
}
