//! Bytes that are not HTTP/2, or that lie about what they are.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::attack::Attack;
use crate::arena::Arena;
use crate::http2::{FrameWriter, Message, PREFACE, flag, kind, request_block};
use crate::peer::ECHO;

/// How long to read the answer before the next connection.
const READ_BOUND: Duration = Duration::from_millis(20);
/// Concurrent connections for each of the attack's connections: enough for 10,000 in 10 s.
pub(super) const AT_A_TIME: usize = 64;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "random-bytes",
        "random bytes, with and without the preface",
        |arena| Box::pin(send(arena, random_bytes)),
    ),
    Attack::new("tls-hello", "the first bytes of TLS", |arena| {
        Box::pin(send(arena, |_| tls_hello()))
    }),
    Attack::new("http1", "requests of HTTP/1.1", |arena| {
        Box::pin(send(arena, |_| http1()))
    }),
    Attack::new(
        "lying-lengths",
        "frames and messages with wrong lengths",
        |arena| Box::pin(send(arena, lying_lengths)),
    ),
];

/// Sends the bytes that `write` makes of each of many numbers, each on a new connection.
pub(super) async fn send<W>(arena: Arena, write: W)
where
    W: Fn(u64) -> Vec<u8> + Clone + Send + 'static,
{
    arena
        .each(arena.connections() * AT_A_TIME, move |arena, task| {
            let write = write.clone();
            async move {
                for turn in 0_u64.. {
                    if arena.is_over() {
                        break;
                    }
                    let bytes = write(turn << 16 | task as u64);
                    if send_once(&arena, task / AT_A_TIME, &bytes).await.is_err() {
                        tokio::time::sleep(READ_BOUND).await;
                    }
                }
            }
        })
        .await;
}

/// Sends bytes on a new connection, and reads for a moment. Fails only if it cannot connect.
pub(super) async fn send_once(arena: &Arena, index: usize, bytes: &[u8]) -> io::Result<()> {
    let mut stream = arena.connect(index).await?;
    arena.found(|found| found.bytes += bytes.len() as u64);
    let exchange = async {
        stream.write_all(bytes).await?;
        let mut come = [0; 4096];
        while stream.read(&mut come).await? > 0 {}
        arena.found(|found| found.closed += 1);
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(READ_BOUND, exchange).await;
    Ok(())
}

fn random_bytes(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = match seed >> 16 & 1 {
        0 => Vec::new(),
        _ => [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat(),
    };
    let length = random.usize(1..4_096);
    bytes.extend((0..length).map(|_| random.u8(..)));
    bytes
}

fn tls_hello() -> Vec<u8> {
    let mut bytes = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    bytes.resize(517, 0x5a);
    bytes
}

fn http1() -> Vec<u8> {
    let head = "POST /grid.wire/Process HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n";
    [head.as_bytes(), &[b'x'; 1_000]].concat()
}

fn lying_lengths(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut frames = FrameWriter::default();
    frames.raw(PREFACE).settings(&[]);
    let message = Message::text(ECHO, b"lie");
    let block = request_block(2);
    match seed >> 16 & 3 {
        // A frame that is longer or shorter than its head states.
        0 => {
            let length = random.usize(0..0x00ff_ffff);
            frames.headers(1, &block, 0);
            frames.lying_frame(length, kind::DATA, flag::END_STREAM, 1, message.bytes());
        }
        1 => {
            let length = random.usize(0..2 * block.len());
            frames.lying_frame(length, kind::HEADERS, flag::END_HEADERS, 1, &block);
        }
        // Padding that is longer than the frame.
        2 => {
            frames.headers(1, &block, 0);
            let padded = [&[0xff], &message.bytes()[..]].concat();
            frames.data(1, &padded, flag::PADDED | flag::END_STREAM);
        }
        // A message that is longer or shorter than its prefix states.
        _ => {
            let mut body = message.bytes().to_vec();
            body[1..5].copy_from_slice(&random.u32(..).to_be_bytes());
            frames.headers(1, &block, 0);
            frames.data(1, &body, flag::END_STREAM);
        }
    }
    frames.take().to_vec()
}
