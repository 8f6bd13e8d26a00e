//! The body of an outgoing request or response.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::StreamExt as _;
use http::HeaderMap;
use http_body::Frame;

use super::frame::Framed;

/// A body with at most one message, and trailers if it is a response; or with the frames of a
/// stream.
#[derive(Default)]
pub(crate) struct Outgoing {
    message: Option<Framed>,
    then: Remainder,
}

/// The rest of a body, after its one message.
#[derive(Default)]
enum Remainder {
    #[default]
    Nothing,
    Trailers(HeaderMap),
    Frames(BoxStream<'static, Frame<Framed>>),
}

impl Outgoing {
    pub(crate) fn request(message: Framed) -> Self {
        Self {
            message: Some(message),
            then: Remainder::Nothing,
        }
    }

    pub(crate) fn reply(message: Framed, trailers: HeaderMap) -> Self {
        Self {
            message: Some(message),
            then: Remainder::Trailers(trailers),
        }
    }

    /// Creates a body of messages, with trailers as the last frame. A frame is polled only when
    /// there is room to send it, so nothing accumulates for a slow reader.
    pub(crate) fn frames(frames: impl Stream<Item = Frame<Framed>> + Send + 'static) -> Self {
        Self {
            message: None,
            then: Remainder::Frames(frames.boxed()),
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Framed;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Framed>, Self::Error>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if let Remainder::Frames(frames) = &mut self.then {
            return frames.poll_next_unpin(cx).map(|frame| frame.map(Ok));
        }
        match std::mem::take(&mut self.then) {
            Remainder::Trailers(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && matches!(self.then, Remainder::Nothing)
    }
}
