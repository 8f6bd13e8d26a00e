//! Floods of small frames on links.

use std::io;

use super::attack::Attack;
use super::on_links::attack_links;
use crate::link::{AttackerLink, LinkReading, LinkRequest, LinkText, echo_body, link_kind};
use crate::peer::{ECHO, FORBIDDEN, MIRROR, SILENT};

/// How many bytes are written at a time.
const BATCH_BYTES: usize = 16 * 1024;
/// The length of a reply whose credit is returned byte by byte.
const REPLY_BYTES: usize = 60_000;
/// The longest value of a header, nearly.
const HEADER_BYTES: usize = 8_000;
/// Requests of which each is cancelled.
const CANCELLED: u64 = 1_000;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "link-cancel-flood",
        "requests on a link that are cancelled at once",
        |arena| Box::pin(attack_links(arena, 1, LinkReading::All, cancel_each)),
    ),
    Attack::new(
        "link-cancel-again",
        "cancellations on a link of requests that are answered",
        |arena| Box::pin(attack_links(arena, 1, LinkReading::All, cancel_again)),
    )
    .with_connections(&[1, 4]),
    Attack::new("link-ping-flood", "pings on a link", |arena| {
        Box::pin(attack_links(arena, 1, LinkReading::All, ping))
    }),
    Attack::new(
        "link-credit-flood",
        "credit that is returned on a link byte by byte",
        |arena| Box::pin(attack_links(arena, 1, LinkReading::NoCredit, return_credit)),
    ),
    Attack::new(
        "link-skipped-flood",
        "frames on a link of kinds that are skipped",
        |arena| Box::pin(attack_links(arena, 1, LinkReading::All, skipped)),
    ),
    Attack::new(
        "link-unanswered",
        "requests with large headers to an actor that never answers, on 16 links at a time",
        |arena| Box::pin(attack_links(arena, 16, LinkReading::All, unanswered)),
    ),
    Attack::new(
        "link-rejected",
        "requests on a link without a token, each of which must be rejected",
        |arena| Box::pin(attack_links(arena, 1, LinkReading::All, rejected)),
    ),
    Attack::new(
        "link-rejected-unread",
        "the same from 64 links at a time that read none of the errors",
        |arena| {
            Box::pin(attack_links(
                arena,
                64,
                LinkReading::Nothing,
                rejected_unread,
            ))
        },
    ),
];

async fn cancel_each(mut link: AttackerLink) -> io::Result<()> {
    let token = link.arena.token(SILENT);
    loop {
        let sequence = link.request(&LinkRequest::new(token, SILENT, b"")).await?;
        link.out.cancel(sequence);
        flush_batch(&mut link).await?;
    }
}

async fn cancel_again(mut link: AttackerLink) -> io::Result<()> {
    let token = link.arena.token(MIRROR);
    for _ in 0..CANCELLED {
        link.request(&LinkRequest::new(token, MIRROR, b"")).await?;
    }
    for turn in 0.. {
        link.out.cancel(1 + turn % CANCELLED);
        flush_batch(&mut link).await?;
    }
    Ok(())
}

async fn ping(mut link: AttackerLink) -> io::Result<()> {
    loop {
        link.out.ping();
        flush_batch(&mut link).await?;
    }
}

async fn return_credit(mut link: AttackerLink) -> io::Result<()> {
    let token = link.arena.token(MIRROR);
    let body = echo_body(&"x".repeat(REPLY_BYTES));
    loop {
        let answers = link.inbound().answers;
        link.request(&LinkRequest::new(token, MIRROR, &body))
            .await?;
        link.flush().await?;
        while link.inbound().answers == answers {
            link.check_open()?;
            link.changed().await;
        }
        for _ in 0..REPLY_BYTES {
            link.out.credit(1);
            flush_batch(&mut link).await?;
        }
    }
}

async fn skipped(mut link: AttackerLink) -> io::Result<()> {
    loop {
        link.out.frame(link_kind::UNKNOWN, 0, 5, b"");
        flush_batch(&mut link).await?;
    }
}

async fn unanswered(mut link: AttackerLink) -> io::Result<()> {
    let header = "h".repeat(HEADER_BYTES);
    let bare = LinkRequest {
        millis: 3_600_000,
        ..LinkRequest::new(link.arena.token(SILENT), SILENT, b"")
    };
    let request = LinkRequest {
        header: &header,
        ..bare
    };
    loop {
        link.request(&request).await?;
        link.request(&bare).await?;
        flush_batch(&mut link).await?;
    }
}

async fn rejected(mut link: AttackerLink) -> io::Result<()> {
    let body = echo_body(FORBIDDEN);
    let mut request = LinkRequest::new([0; 16], ECHO, &body);
    request.receiver = LinkText::Define(1, ECHO);
    link.request(&request).await?;
    request.receiver = LinkText::Known(1);
    loop {
        link.request(&request).await?;
        flush_batch(&mut link).await?;
    }
}

async fn rejected_unread(mut link: AttackerLink) -> io::Result<()> {
    let body = echo_body(FORBIDDEN);
    let request = LinkRequest::new([0; 16], ECHO, &body);
    // The credit of each comes back at once, so it is never exceeded.
    loop {
        link.request_anyway(&request);
        flush_batch(&mut link).await?;
    }
}

async fn flush_batch(link: &mut AttackerLink) -> io::Result<()> {
    match link.out.len() >= BATCH_BYTES {
        true => link.flush().await,
        false => Ok(()),
    }
}
