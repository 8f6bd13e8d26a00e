//! Bytes that are not frames of the link, or that lie about what they are.

use super::attack::Attack;
use super::garbage::send;
use super::mutations::mutation;
use crate::arena::Arena;
use crate::link::{
    ClientHello, LINK_GREETING, LinkFrames, LinkRequest, LinkText, echo_body, link_flag, link_kind,
};
use crate::peer::ECHO;

/// The longest frame behind its head.
const MAX_LENGTH: usize = 82_176;
/// A message that is too long for one frame.
const TOTAL: u32 = 70_000;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "link-random-bytes",
        "random bytes behind the greeting of a link, and behind a Hello",
        |arena| Box::pin(send(arena, random_bytes)),
    )
    .with_connections(&[1, 4]),
    Attack::new(
        "link-lying-lengths",
        "frames of a link, their fields and messages with wrong lengths",
        |arena| Box::pin(send_with_token(arena, lying_lengths)),
    )
    .with_connections(&[1, 4]),
    Attack::new(
        "link-mutations",
        "mutations of the valid frames of a link",
        |arena| Box::pin(send_with_token(arena, mutated_frames)),
    )
    .with_connections(&[1, 4]),
];

async fn send_with_token(arena: Arena, write: fn(u64, [u8; 16]) -> Vec<u8>) {
    let token = arena.token(ECHO);
    send(arena, move |seed| write(seed, token)).await;
}

/// Returns a `Hello` of a client that is another one for each seed.
fn hello_of(seed: u64) -> ClientHello {
    ClientHello::new((u128::from(seed) + 1).to_le_bytes(), 1)
}

fn random_bytes(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut frames = LinkFrames::default();
    match seed >> 16 & 3 {
        0 => drop(frames.raw(&LINK_GREETING)),
        1 => drop(frames.raw(&LINK_GREETING[..random.usize(1..LINK_GREETING.len())])),
        _ => drop(frames.greet(&hello_of(seed))),
    }
    let length = random.usize(1..4_096);
    let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
    frames.raw(&bytes);
    frames.take().to_vec()
}

fn lying_lengths(seed: u64, token: [u8; 16]) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut frames = LinkFrames::default();
    let body = echo_body("lie");
    let request = LinkRequest::new(token, ECHO, &body);
    if seed >> 16 & 7 == 0 {
        // A Hello whose namespace, or the whole of it, is longer or shorter than stated.
        let mut hello = frames.greet(&hello_of(seed)).take().to_vec();
        let place = *random.choice(&[8, 9, 14, 113]).unwrap_or(&8);
        hello[place] ^= 1 << random.u8(0..8);
        return hello;
    }
    frames.greet(&hello_of(seed));
    match seed >> 16 & 7 {
        // A frame, or its fields, longer or shorter than stated.
        1 | 2 => {
            let lengths = (random.usize(0..2 * MAX_LENGTH), random.usize(0..20_000));
            frames.lying_frame(lengths, link_kind::REQUEST, 0, 1, &[0; 400]);
        }
        3 => {
            let length = random.usize(0..usize::from(u16::MAX));
            frames.lying_frame((length, 0), link_kind::UNKNOWN, 0, 0, &body);
        }
        // A message that is longer or shorter than announced, or ends early.
        4 | 5 => {
            let large = LinkRequest {
                total: Some(TOTAL),
                body: b"",
                ..request
            };
            let flags = if random.bool() { link_flag::LAST } else { 0 };
            frames
                .request(1, &large)
                .chunk(1, &vec![b'x'; random.usize(1..=65_536)], flags)
                .chunk(1, &vec![b'x'; random.usize(1..=65_536)], link_flag::LAST);
        }
        // Fields that do not add up to the body that follows.
        _ => {
            let start = frames.len();
            frames.request(1, &request);
            let mut bytes = frames.take().to_vec();
            bytes[start + 6] ^= random.u8(1..);
            return bytes;
        }
    }
    frames.take().to_vec()
}

fn mutated_frames(seed: u64, token: [u8; 16]) -> Vec<u8> {
    let valid = valid_frames(hello_of(seed), token);
    mutation(&valid, LINK_GREETING.len(), seed)
}

fn valid_frames(hello: ClientHello, token: [u8; 16]) -> Vec<u8> {
    let body = echo_body("mutation");
    let request = LinkRequest::new(token, ECHO, &body);
    let defining = LinkRequest {
        receiver: LinkText::Define(1, ECHO),
        header: "value",
        ..request
    };
    let large = LinkRequest {
        total: Some(TOTAL),
        body: b"",
        ..request
    };
    let known = LinkRequest {
        receiver: LinkText::Known(1),
        ..request
    };
    let mut frames = LinkFrames::default();
    frames
        .greet(&hello)
        .request(1, &defining)
        .request(2, &large)
        .request(4, &known)
        .cancel(2)
        .chunk(2, &[b'x'; 100], 0)
        .frame(link_kind::UNKNOWN, 0, 9, b"skipped")
        .ping();
    frames.take().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_keep_the_greeting_and_change_the_rest() {
        for seed in 0..1_000 {
            let valid = valid_frames(hello_of(seed), [1; 16]);
            let mutated = mutated_frames(seed, [1; 16]);
            assert_eq!(mutated[..8], LINK_GREETING);
            assert!(seed % 100 > 0 || mutated != valid);
            // It must not panic.
            let _ = lying_lengths(seed << 16, [1; 16]);
            let _ = random_bytes(seed << 16);
        }
    }
}
