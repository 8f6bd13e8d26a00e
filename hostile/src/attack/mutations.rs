//! Random mutations of a valid request, ten thousand of them.

use super::attack::Attack;
use super::garbage::send;
use crate::http2::{FrameWriter, Message, PREFACE, flag, request_block};
use crate::peer::ECHO;

pub(super) const ATTACKS: &[Attack] = &[Attack::new(
    "mutations",
    "10,000 mutations of a valid request",
    |arena| Box::pin(send(arena, mutated_request)),
)
.with_connections(&[1, 4])
.lasts(10)];

fn mutated_request(seed: u64) -> Vec<u8> {
    mutation(&valid_request(), PREFACE.len(), seed)
}

fn valid_request() -> Vec<u8> {
    let mut frames = FrameWriter::default();
    let message = Message::text(ECHO, b"mutation");
    frames
        .raw(PREFACE)
        .settings(&[])
        .headers(1, &request_block(2), 0)
        .data(1, message.bytes(), flag::END_STREAM);
    frames.take().to_vec()
}

/// Changes bits, bytes or pieces at one to eight places, but not in the first `kept` bytes.
pub(super) fn mutation(valid: &[u8], kept: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = valid.to_vec();
    for _ in 0..random.usize(1..=8) {
        let at = random.usize(kept..bytes.len());
        match random.u8(0..5) {
            0 => bytes[at] ^= 1 << random.u8(0..8),
            1 => bytes[at] = random.u8(..),
            2 => bytes.insert(at, random.u8(..)),
            3 if bytes.len() > kept + 16 => drop(bytes.remove(at)),
            _ => {
                let end = random.usize(at..bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.extend(piece);
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_mutation_again() {
        let valid = valid_request();
        let of = |seed| mutation(&valid, PREFACE.len(), seed);
        for seed in 0..1_000 {
            assert_eq!(of(seed), of(seed));
            assert_eq!(of(seed)[..PREFACE.len()], *PREFACE);
        }
        assert_ne!(of(1), of(2));
    }
}
