//! Frames on a TCP connection: a length, a number, and the content.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::net::TcpStream;

/// The length of what follows it (4 bytes) and the number of the request (8 bytes).
const HEADER: usize = 12;
/// Room for so much is kept for a read: a batch of frames takes few system calls, and more room
/// brought nothing.
const READ_ROOM: usize = 256 * 1024;
/// A longer frame is not one of ours.
const LONGEST: usize = 16 << 20;

/// One frame that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// The number of its request.
    pub(super) number: u64,
    /// The length of its content.
    pub(super) length: usize,
}

/// A connection whose frames are read and written in batches, by one task.
pub(super) struct FramedSocket {
    socket: TcpStream,
    input: BytesMut,
    output: BytesMut,
}

impl FramedSocket {
    pub(super) fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            input: BytesMut::with_capacity(READ_ROOM),
            output: BytesMut::with_capacity(READ_ROOM),
        })
    }

    /// Where frames are written. They leave with the next turn.
    pub(super) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Writes what it can, until more bytes have come.
    ///
    /// It reads and writes at once: two sides that only write while the other one does, too, would
    /// wait for each other for ever.
    pub(super) async fn turn(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_turn(context)).await
    }

    /// The same, as part of another future.
    pub(super) fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            match Pin::new(&mut self.socket).poll_write(context, &self.output) {
                Poll::Ready(written) => self.output.advance(written?),
                Poll::Pending => break,
            }
        }
        self.input.reserve(READ_ROOM / 4);
        let read = pin!(self.socket.read_buf(&mut self.input));
        match ready!(read.poll(context))? {
            0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Takes the next frame off the bytes that came, and skips its content.
    pub(super) fn take(&mut self) -> io::Result<Option<FrameHead>> {
        let head = head_of(&self.input)?;
        if let Some(head) = head {
            self.input.advance(HEADER + head.length);
        }
        Ok(head)
    }

    /// Takes the next frame and writes it back, with its content if `keep` says so for its length.
    pub(super) fn echo(&mut self, keep: impl Fn(usize) -> bool) -> io::Result<bool> {
        let Some(head) = head_of(&self.input)? else {
            return Ok(false);
        };
        let length = HEADER + head.length;
        if keep(head.length) {
            self.output.extend_from_slice(&self.input[..length]);
        } else {
            write_frame(&mut self.output, head.number, &[]);
        }
        self.input.advance(length);
        Ok(true)
    }
}

/// Appends a frame.
pub(super) fn write_frame(output: &mut BytesMut, number: u64, content: &[u8]) {
    output.reserve(HEADER + content.len());
    // Contents are 4 MiB at most.
    output.put_u32_le((HEADER - 4 + content.len()) as u32);
    output.put_u64_le(number);
    output.put_slice(content);
}

/// The head of the first frame, once the whole frame has come.
fn head_of(input: &[u8]) -> io::Result<Option<FrameHead>> {
    let Some(mut head) = input.get(..HEADER) else {
        return Ok(None);
    };
    let rest = head.get_u32_le() as usize;
    let number = head.get_u64_le();
    let Some(length) = (rest + 4).checked_sub(HEADER).filter(|_| rest <= LONGEST) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let is_whole = input.len() >= HEADER + length;
    Ok(is_whole.then_some(FrameHead { number, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_once_it_is_whole() {
        let mut bytes = BytesMut::new();
        write_frame(&mut bytes, 7, b"hello");
        for length in 0..bytes.len() {
            assert_eq!(head_of(&bytes[..length]).unwrap(), None);
        }
        let head = FrameHead {
            number: 7,
            length: 5,
        };
        assert_eq!(head_of(&bytes).unwrap(), Some(head));
        assert!(head_of(&[0; 12]).is_err());
        assert!(head_of(&[255; 12]).is_err());
    }
}
