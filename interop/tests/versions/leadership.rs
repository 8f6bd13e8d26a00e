//! There is one leader, whichever version its peer has.

use actorgrid::Kind as Registered;
use interop::{Peer, Version, VersionBed};

const LEADER: &[&str] = &["--leader"];

async fn check_leads(bed: &VersionBed, workers: &[Peer], peer: &Peer, from: usize) {
    let line = peer.wait_for_from(from, "LEADER start").await;
    assert_eq!(line.field("peer"), Some(peer.id.as_str()));
    let actors = bed.client.query(Registered::Actor).await.unwrap();
    let leader = actors.iter().find(|one| one.name.as_str() == "leader");
    assert_eq!(leader.unwrap().peer.as_str(), peer.id);
    // Clients of both versions find it, and it starts actors on peers of both.
    for version in Version::BOTH {
        let client = bed.client(version);
        for worker in workers {
            let name = format!("{}-on-{}-for-{}", peer.id, worker.id, version.as_str());
            let start = format!("{} {name} where", worker.id);
            client.request("leader", &start).await.success();
            assert_eq!(client.request(&name, "").await.success().text, worker.id);
        }
    }
}

pub(crate) async fn passes_between_the_versions_by_stop_and_by_kill(bed: &VersionBed) {
    use Version::{Current, Previous};
    let turns = [
        ("leads-1", Previous),
        ("leads-2", Current),
        ("leads-3", Previous),
        ("leads-4", Current),
        ("leads-5", Previous),
    ];
    let workers = [
        bed.serving(Previous, "led-previous", &[]).await,
        bed.serving(Current, "led-current", &[]).await,
    ];
    let [(first, version), later @ ..] = turns;
    let mut leader = bed.serving(version, first, LEADER).await;
    check_leads(bed, &workers, &leader, 0).await;
    for (index, (name, version)) in later.into_iter().enumerate() {
        let next = bed.serving(version, name, LEADER).await;
        let from = bed.transcript.len();
        // The first two stop, the others are killed.
        if index < 2 {
            assert!(leader.stop().await.success());
        } else {
            leader.process.kill();
        }
        check_leads(bed, &workers, &next, from).await;
        leader = next;
    }

    // There were never two leaders: each leader that was not killed printed its end before the next
    // one printed its start.
    let lines = bed.transcript.lines();
    let printed: Vec<_> = lines
        .iter()
        .filter(|line| line.process.starts_with("leads-") && line.text.starts_with("LEADER"))
        .map(|line| (&*line.process, &line.text[.."LEADER start".len()]))
        .collect();
    assert_eq!(
        printed,
        [
            ("leads-1", "LEADER start"),
            ("leads-1", "LEADER stop "),
            ("leads-2", "LEADER start"),
            ("leads-2", "LEADER stop "),
            ("leads-3", "LEADER start"),
            ("leads-4", "LEADER start"),
            ("leads-5", "LEADER start"),
        ]
    );
    assert!(leader.stop().await.success());
    for worker in workers {
        assert!(worker.stop().await.success());
    }
}
