//! Large messages on links whose chunks come slowly, in tiny parts, or not at all.

use std::io;
use std::time::{Duration, Instant};

use super::attack::Attack;
use super::on_links::attack_links;
use crate::link::{AttackerLink, LinkReading, LinkRequest};
use crate::peer::SINK;

/// The peer gives a message up that brings nothing for 5 s; the rest is slack for a busy machine.
const STALL_BOUND: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(250);
const LARGEST: u32 = 4 << 20;
/// The smallest message that comes in chunks.
const SMALLEST: u32 = 66_561;
/// The bytes that a message must bring every 5 s.
const PART_BYTES: usize = 16 * 1024;
const PART_PAUSE: Duration = Duration::from_millis(4_900);
/// The longest value of a header, nearly.
const HEADER_BYTES: usize = 8_000;
/// Tiny chunks that are written at a time.
const TINY: usize = 1_000;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "link-stalled",
        "64 messages of 4 MiB on a link that stall behind their tickets",
        |arena| {
            Box::pin(attack_links(arena, 1, LinkReading::All, |link| {
                stall(link, 64, LARGEST)
            }))
        },
    )
    .lasts(14),
    Attack::new(
        "link-stalled-small",
        "2,000 messages of 64 KiB on a link that stall, most of them without a ticket",
        |arena| {
            Box::pin(attack_links(arena, 1, LinkReading::All, |link| {
                stall(link, 2_000, SMALLEST)
            }))
        },
    )
    .lasts(14),
    Attack::new(
        "link-stalled-headers",
        "large messages with large headers that wait for tickets, on 16 links at a time",
        |arena| {
            Box::pin(attack_links(
                arena,
                16,
                LinkReading::All,
                stall_with_headers,
            ))
        },
    )
    .lasts(14),
    Attack::new(
        "link-dribble-just",
        "64 messages on a link that bring 16 KiB every 4.9 s, which is just allowed",
        |arena| Box::pin(attack_links(arena, 1, LinkReading::All, dribble)),
    )
    .lasts(14),
    Attack::new(
        "link-tiny-chunks",
        "chunks of one byte, half of them of a message that is answered, beside 2,000 that wait",
        |arena| Box::pin(attack_links(arena, 1, LinkReading::All, tiny_chunks)),
    ),
];

/// A request whose message of this length follows in chunks, if it has its ticket.
fn large(link: &AttackerLink, total: u32) -> LinkRequest<'static> {
    LinkRequest {
        millis: 3_600_000,
        total: Some(total),
        ..LinkRequest::new(link.arena.token(SINK), SINK, b"")
    }
}

/// Keeps this many requests open, and sends one byte of each that has its ticket.
async fn stall(mut link: AttackerLink, requests: usize, total: u32) -> io::Result<()> {
    let request = large(&link, total);
    let mut begun = std::collections::HashSet::new();
    loop {
        let missing = requests.saturating_sub(link.inbound().sweep());
        for _ in 0..missing {
            link.try_followed(&request);
        }
        for sequence in with_ticket(&link) {
            if begun.insert(sequence) {
                link.out.chunk(sequence, b"x", 0);
            }
        }
        link.flush().await?;
        tokio::time::sleep(POLL).await;
        report_late(&link);
    }
}

async fn stall_with_headers(mut link: AttackerLink) -> io::Result<()> {
    let header = "h".repeat(HEADER_BYTES);
    let request = LinkRequest {
        header: &header,
        ..large(&link, LARGEST)
    };
    loop {
        while link.try_followed(&request).is_some() {
            if link.out.len() > PART_BYTES {
                link.flush().await?;
            }
        }
        link.flush().await?;
        tokio::time::sleep(POLL).await;
        link.inbound().sweep();
    }
}

async fn dribble(mut link: AttackerLink) -> io::Result<()> {
    let request = large(&link, LARGEST);
    let part = vec![0; PART_BYTES];
    loop {
        let missing = 64_usize.saturating_sub(link.inbound().sweep());
        for _ in 0..missing {
            link.try_followed(&request);
        }
        for sequence in with_ticket(&link) {
            link.out.chunk(sequence, &part, 0);
        }
        link.flush().await?;
        tokio::time::sleep(PART_PAUSE).await;
    }
}

async fn tiny_chunks(mut link: AttackerLink) -> io::Result<()> {
    let answered = LinkRequest {
        millis: 1,
        ..large(&link, LARGEST)
    };
    let answered = link.request(&answered).await?;
    let request = large(&link, LARGEST);
    for _ in 0..2_000 {
        link.try_followed(&request);
    }
    link.flush().await?;
    loop {
        link.inbound().sweep();
        let tickets = with_ticket(&link);
        let place = tickets.last().copied().unwrap_or(answered);
        for _ in 0..TINY {
            link.out.chunk(answered, b"x", 0).chunk(place, b"x", 0);
        }
        link.flush().await?;
        if tickets.is_empty() {
            link.try_followed(&request);
        }
        tokio::task::yield_now().await;
    }
}

/// Returns the requests that have a ticket and have not ended.
fn with_ticket(link: &AttackerLink) -> Vec<u64> {
    let inbound = link.inbound();
    let open = inbound.records.iter();
    let has_ticket = open.filter(|(_, of)| of.ticket.is_some() && !of.has_ended);
    has_ticket.map(|(sequence, _)| *sequence).collect()
}

/// Records messages that stalled for too long, each once.
fn report_late(link: &AttackerLink) {
    let now = Instant::now();
    for record in link.inbound().records.values_mut() {
        let since = record.ticket.map(|ticket| now.duration_since(ticket));
        let is_late = !record.has_ended && since.is_some_and(|time| time > STALL_BOUND);
        if is_late && !std::mem::replace(&mut record.is_reported, true) {
            link.arena
                .fail("a stalled message of a link was not given up");
        }
    }
}
