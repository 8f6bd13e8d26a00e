//! Requests with invalid tokens: each must be rejected, and none executed.

use std::io;

use super::attack::Attack;
use super::on_connections::attack_connections;
use crate::arena::Arena;
use crate::http2::{Connection, HeaderBlock, Message, exchange};
use crate::peer::{ECHO, FORBIDDEN};

/// Values of the header as they are sent, with the text that each decodes to from base64.
const TOKENS: [&str; 12] = [
    "!!!",                                      // not base64
    "=",                                        // not base64
    "",                                         // nothing
    "bm90IGEgdG9rZW4=",                         // not a token
    "MmE6OTIyMzM3MjAzNjg1NDc3NTgwOA==",         // 2a:9223372036854775808, which is 2^63
    "MmE6OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk=", // 2a: and 26 digits
    "MmE6LTU=",                                 // 2a:-5
    "eno6MQ==",                                 // zz:1
    "MmE6MTox",                                 // 2a:1:1
    "MmE=",                                     // 2a
    "//4=",                                     // not text
    "MmE6MQ==",                                 // 2a:1, a token of another cluster
];

pub(super) const ATTACKS: &[Attack] = &[Attack::new(
    "malformed-tokens",
    "requests with invalid tokens, each of which must be rejected",
    |arena| Box::pin(present(arena)),
)
.with_connections(&[1, 4])];

async fn present(arena: Arena) {
    attack_connections(arena, present_all).await;
}

async fn present_all(mut connection: Connection) -> io::Result<()> {
    let message = Message::text(ECHO, FORBIDDEN.as_bytes());
    let request = |token: &str| {
        let mut block = HeaderBlock::default();
        block
            .request("/grid.wire/Process", 10)
            .literal("grid-token-bin", token.as_bytes());
        (block.take(), message.bytes().clone())
    };
    loop {
        let requests = TOKENS.map(request).into();
        let records = exchange(&mut connection, requests).await?;
        for (record, token) in records.iter().zip(TOKENS) {
            let end = record.ended.as_ref();
            if end.is_some_and(|(_, end)| end.is_reply()) {
                let arena = &connection.arena;
                arena.fail(&format!("a request with the token {token:?} was executed"));
            }
        }
    }
}
