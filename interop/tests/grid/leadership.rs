//! There is one leader, whichever library its peer uses.

use actorgrid::Kind as Registered;
use interop::{Bed, Kind, Peer};

const GO: &[&str] = &["-leader", "-lease", "10s"];
const RUST: &[&str] = &["--leader"];

/// Returns the peer that leads now, according to the registry.
async fn leading(bed: &Bed) -> Option<String> {
    let actors = bed.rust.query(Registered::Actor).await.unwrap();
    let leader = actors.into_iter().find(|one| one.name.as_str() == "leader");
    leader.map(|leader| leader.peer.to_string())
}

async fn check_leads(bed: &Bed, peer: &Peer, from: usize) {
    let line = peer.wait_for_from(from, "LEADER start").await;
    assert_eq!(line.field("peer"), Some(peer.id.as_str()));
    assert_eq!(leading(bed).await.as_deref(), Some(peer.id.as_str()));
}

pub(crate) async fn passes_from_go_to_rust_to_go_by_stop_and_by_kill(bed: &Bed) {
    let first = bed.serving(Kind::Go, "go-leads", GO).await;
    check_leads(bed, &first, 0).await;

    // By stop.
    let second = bed.serving(Kind::Rust, "rust-leads", RUST).await;
    let from = bed.transcript.len();
    assert!(first.stop().await.success());
    check_leads(bed, &second, from).await;
    let third = bed.serving(Kind::Go, "go-leads-again", GO).await;
    let from = bed.transcript.len();
    assert!(second.stop().await.success());
    check_leads(bed, &third, from).await;

    // By kill.
    let fourth = bed.serving(Kind::Rust, "rust-leads-again", RUST).await;
    let from = bed.transcript.len();
    let mut third = third;
    third.process.kill();
    check_leads(bed, &fourth, from).await;
    let fifth = bed.serving(Kind::Go, "go-leads-last", GO).await;
    let from = bed.transcript.len();
    let mut fourth = fourth;
    fourth.process.kill();
    check_leads(bed, &fifth, from).await;

    // There were never two leaders: each leader that was not killed printed its end before the next
    // one printed its start.
    let lines = bed.transcript.lines();
    let printed: Vec<_> = lines
        .iter()
        .filter(|line| line.text.starts_with("LEADER"))
        .map(|line| (&*line.process, &line.text[.."LEADER start".len()]))
        .collect();
    assert_eq!(
        printed,
        [
            ("go-leads", "LEADER start"),
            ("go-leads", "LEADER stop "),
            ("rust-leads", "LEADER start"),
            ("rust-leads", "LEADER stop "),
            ("go-leads-again", "LEADER start"),
            ("rust-leads-again", "LEADER start"),
            ("go-leads-last", "LEADER start"),
        ]
    );
}
