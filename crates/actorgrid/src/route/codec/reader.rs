//! Reads the framed messages of a body as it arrives.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;

use super::frame::PREFIX_BYTES;

/// The capacity reserved in advance for a message that arrives in parts: its announced length is
/// only a claim until the bytes have arrived.
const FIRST_CAPACITY_BYTES: usize = 64 * 1024;

/// Why a body is not one message, or not a sequence of messages.
#[derive(Debug)]
pub(crate) enum ReadError<E> {
    /// The body ended before a message.
    Missing,
    /// The body ended within the message.
    Cut,
    /// The message has this many bytes.
    TooLarge(usize),
    Compressed,
    /// There are bytes after the message.
    Trailing,
    Body(E),
}

/// Reads a body.
pub(crate) struct Reader<B> {
    body: B,
    limit: usize,
    /// The bytes that have arrived and are not yet read.
    rest: Bytes,
    partial: Option<PartialMessage>,
    trailers: Option<HeaderMap>,
}

/// A message of which only a part has arrived.
struct PartialMessage {
    length: usize,
    bytes: BytesMut,
}

impl<B> Reader<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    pub(crate) fn new(body: B, limit: usize) -> Self {
        Self {
            body,
            limit,
            rest: Bytes::new(),
            partial: None,
            trailers: None,
        }
    }

    /// Reads the one message. Bytes that arrive later stay unread. Cancel safe.
    pub(crate) async fn message(&mut self) -> Result<Bytes, ReadError<B::Error>> {
        let message = self.next().await?.ok_or(ReadError::Missing)?;
        match self.rest.is_empty() {
            true => Ok(message),
            false => Err(ReadError::Trailing),
        }
    }

    /// Reads the next of several messages; `None` at the end of the body. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ReadError<B::Error>> {
        let partial = match &mut self.partial {
            Some(partial) => partial,
            None => {
                while self.rest.len() < PREFIX_BYTES {
                    match data(&mut self.body, &mut self.trailers).await? {
                        Some(chunk) if self.rest.is_empty() => self.rest = chunk,
                        Some(chunk) => self.rest = [&self.rest[..], &chunk].concat().into(),
                        None if self.rest.is_empty() => return Ok(None),
                        None => return Err(ReadError::Cut),
                    }
                }
                let mut prefix = &self.rest[..PREFIX_BYTES];
                let flag = prefix.get_u8();
                let length = usize::try_from(prefix.get_u32()).unwrap_or(usize::MAX);
                if flag != 0 {
                    return Err(ReadError::Compressed);
                }
                if length > self.limit {
                    return Err(ReadError::TooLarge(length));
                }
                if self.rest.len() - PREFIX_BYTES >= length {
                    self.rest.advance(PREFIX_BYTES);
                    return Ok(Some(self.rest.split_to(length)));
                }
                let mut bytes = BytesMut::with_capacity(length.min(FIRST_CAPACITY_BYTES));
                self.rest.advance(PREFIX_BYTES);
                bytes.put(std::mem::take(&mut self.rest));
                self.partial.insert(PartialMessage { length, bytes })
            }
        };
        let PartialMessage { length, bytes } = partial;
        while bytes.len() < *length {
            let chunk = data(&mut self.body, &mut self.trailers).await?;
            let mut chunk = chunk.ok_or(ReadError::Cut)?;
            let missing = *length - bytes.len();
            if chunk.len() > missing {
                self.rest = chunk.split_off(missing);
            }
            if bytes.capacity() - bytes.len() < chunk.len() {
                // Grow by doubling, but not beyond the message.
                bytes.reserve(bytes.len().max(chunk.len()).min(missing));
            }
            bytes.put(chunk);
        }
        let message = std::mem::take(bytes).freeze();
        self.partial = None;
        Ok(Some(message))
    }

    /// Returns the trailers at the end of a body whose messages were read.
    pub(crate) async fn trailers(&mut self) -> Result<Option<HeaderMap>, ReadError<B::Error>> {
        match data(&mut self.body, &mut self.trailers).await? {
            None => Ok(self.trailers.take()),
            Some(_) => Err(ReadError::Trailing),
        }
    }
}

/// Returns the next bytes of a body; `None` at its end, after storing its trailers.
async fn data<B>(
    body: &mut B,
    trailers: &mut Option<HeaderMap>,
) -> Result<Option<Bytes>, ReadError<B::Error>>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    while trailers.is_none() {
        let Some(frame) = body.frame().await else {
            break;
        };
        match frame.map_err(ReadError::Body)?.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => return Ok(Some(data)),
            Err(frame) => *trailers = frame.into_trailers().ok(),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
