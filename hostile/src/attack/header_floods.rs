//! Headers that are too many, too long, endless, or larger than they look.

use std::io;
use std::time::Duration;

use super::attack::Attack;
use super::on_connections::attack_connections;
use crate::http2::{Connection, FRAME_BYTES, HeaderBlock, StreamRecord, flag, kind, wait_for_ends};

const PATH: &str = "/grid.wire/Process";
/// The time within which a request with too large headers is answered, or its connection closed.
const ANSWER_BOUND: Duration = Duration::from_secs(3);

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "continuation-flood",
        "a header block that never ends",
        |arena| Box::pin(attack_connections(arena, continue_for_ever)),
    ),
    Attack::new(
        "hpack-bomb",
        "blocks of 16 KiB that expand to 60 MiB of headers",
        |arena| Box::pin(attack_connections(arena, bomb)),
    ),
    Attack::new("header-count", "requests with 100,000 headers", |arena| {
        Box::pin(attack_connections(arena, many_headers))
    }),
    Attack::new(
        "header-size",
        "requests with a header of 64 KiB, each of which must be rejected",
        |arena| Box::pin(attack_connections(arena, large_header)),
    ),
];

async fn continue_for_ever(mut connection: Connection) -> io::Result<()> {
    let stream = connection.next_stream();
    let mut block = HeaderBlock::default();
    block.request(PATH, 10);
    connection
        .out
        .frame(kind::HEADERS, 0, stream, &block.take());
    loop {
        for _ in 0..100 {
            block.literal("x-more", b"and more");
            let part = block.take();
            connection.out.frame(kind::CONTINUATION, 0, stream, &part);
        }
        connection.flush().await?;
    }
}

async fn bomb(mut connection: Connection) -> io::Result<()> {
    let mut block = HeaderBlock::default();
    block.request(PATH, 10).indexed("bomb", &[b'b'; 3_900]);
    while !connection.is_used_up() {
        while block.len() < FRAME_BYTES - 16 {
            block.table_entry(62);
        }
        let stream = connection.next_stream();
        connection
            .out
            .headers(stream, &block.take(), flag::END_STREAM);
        connection.arena.found(|found| found.streams += 1);
        connection.flush().await?;
        // From now on the table of the peer holds the header.
        block.request(PATH, 10);
    }
    Ok(())
}

async fn many_headers(mut connection: Connection) -> io::Result<()> {
    let mut block = HeaderBlock::default();
    block.request(PATH, 10);
    for _ in 0..100_000 {
        block.literal("a", b"");
    }
    let block = block.take();
    while !connection.is_used_up() {
        send_block(&mut connection, &block).await?;
    }
    Ok(())
}

async fn large_header(mut connection: Connection) -> io::Result<()> {
    let mut block = HeaderBlock::default();
    block.request(PATH, 10).literal("large", &[b'v'; 64 * 1024]);
    let block = block.take();
    loop {
        let stream = send_block(&mut connection, &block).await?;
        let streams = [stream];
        let ends = wait_for_ends(&mut connection, &streams);
        let Ok(records) = tokio::time::timeout(ANSWER_BOUND, ends).await else {
            connection.arena.fail("a header of 64 KiB was not answered");
            return Ok(());
        };
        let is_reply = |record: &StreamRecord| {
            let end = record.ended.as_ref();
            end.is_some_and(|(_, end)| end.is_reply())
        };
        if records?.iter().any(is_reply) {
            connection.arena.fail("a header of 64 KiB was accepted");
        }
    }
}

/// Sends a block in as many frames as it needs. Returns the number of its stream.
async fn send_block(connection: &mut Connection, block: &[u8]) -> io::Result<u32> {
    let (first, rest) = block.split_at(block.len().min(FRAME_BYTES));
    let stream = connection.remembered_stream();
    connection
        .out
        .frame(kind::HEADERS, flag::END_STREAM, stream, first);
    let mut parts = rest.chunks(FRAME_BYTES).peekable();
    while let Some(part) = parts.next() {
        let flags = match parts.peek() {
            Some(_) => 0,
            None => flag::END_HEADERS,
        };
        connection
            .out
            .frame(kind::CONTINUATION, flags, stream, part);
    }
    connection.flush().await?;
    Ok(stream)
}
