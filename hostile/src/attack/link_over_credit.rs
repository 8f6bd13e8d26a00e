//! More than there is credit for: the peer must close each such link.

use std::io;
use std::time::Duration;

use super::attack::Attack;
use super::on_links::attack_links;
use crate::arena::Arena;
use crate::link::{AttackerLink, LinkReading, LinkRequest};
use crate::peer::{DEAF_4000, ECHO};

/// The reason of the `GoAway` for each of them.
const FLOW_CONTROL: u16 = 35;
/// The peer closes such a link at once; the rest is slack for a busy machine.
const CLOSE_BOUND: Duration = Duration::from_secs(3);
/// A message that is too long for one frame.
const TOTAL: u32 = 70_000;

pub(super) const ATTACKS: &[Attack] = &[Attack::new(
    "link-over-credit",
    "more requests, bytes, chunks or credit than a link allows: each must close it",
    |arena| Box::pin(exceed(arena)),
)];

async fn exceed(arena: Arena) {
    attack_links(arena, 4, LinkReading::All, |mut link| async move {
        match fastrand::u8(0..4) {
            0 => too_many_requests(&mut link, &[]),
            1 => too_many_requests(&mut link, &[0; 60_000]),
            2 => chunk_without_ticket(&mut link),
            _ => drop(link.out.credit(1)),
        }
        // It may be closed before all is written.
        let written = link.flush().await;
        let closing = async {
            while link.check_open().is_ok() {
                link.changed().await;
            }
        };
        let is_open = tokio::time::timeout(CLOSE_BOUND, closing).await.is_err();
        // The credit of requests that were answered, as busy for example, was returned.
        if is_open && !link.inbound().has_ended() {
            let what = "a link was not closed that went beyond its credit";
            link.arena.fail(what);
        }
        let reason = link.inbound().reason;
        if written.is_ok() && reason.is_some_and(|reason| reason != FLOW_CONTROL) {
            let arena = &link.arena;
            arena.fail(&format!(
                "a link beyond its credit was closed for {reason:?}"
            ));
        }
        io::Result::Err(io::ErrorKind::ConnectionAborted.into())
    })
    .await;
}

/// Sends requests until there is no credit, and one more.
fn too_many_requests(link: &mut AttackerLink, body: &[u8]) {
    let token = link.arena.token(DEAF_4000);
    let request = LinkRequest::new(token, DEAF_4000, body);
    while link.try_followed(&request).is_some() {}
    link.request_anyway(&request);
}

fn chunk_without_ticket(link: &mut AttackerLink) {
    let token = link.arena.token(ECHO);
    let large = LinkRequest {
        total: Some(TOTAL),
        ..LinkRequest::new(token, ECHO, b"")
    };
    // The first one gets its ticket soon; the last one cannot have it yet.
    let mut last = 0;
    for _ in 0..1_000 {
        last = link.try_followed(&large).unwrap_or(last);
    }
    link.out.chunk(last, b"x", 0);
}
