//! Names that are to be remembered, and never used again.

use std::io;

use super::attack::Attack;
use super::on_links::attack_links;
use crate::link::{AttackerLink, LinkReading, LinkRequest, LinkText};
use crate::peer::ECHO;

/// The longest name is 1,024 bytes.
const NAME_BYTES: usize = 1_000;
/// The ids that are used in turn: the names must keep to the bytes that the peer states.
const IDS: u32 = 8;
const BATCH_BYTES: usize = 16 * 1024;

pub(super) const ATTACKS: &[Attack] = &[Attack::new(
    "link-name-churn",
    "requests on a link of which each defines another name and another type",
    |arena| Box::pin(attack_links(arena, 1, LinkReading::All, churn)),
)];

async fn churn(mut link: AttackerLink) -> io::Result<()> {
    let token = link.arena.token(ECHO);
    let rest = "n".repeat(NAME_BYTES - 20);
    for turn in 0_u32.. {
        let id = 1 + turn % IDS;
        let name = format!("{turn:020}{rest}");
        let request = LinkRequest {
            receiver: LinkText::Define(id, &name),
            message_type: LinkText::Define(id, &name),
            ..LinkRequest::new(token, "", b"")
        };
        link.request(&request).await?;
        if link.out.len() >= BATCH_BYTES {
            link.flush().await?;
        }
    }
    Ok(())
}
