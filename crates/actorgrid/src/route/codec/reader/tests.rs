//! Messages in parts, limits, and bodies that are not one message.

use std::task::Poll;

use super::*;
use crate::route::codec::frame::{Framed, frame_delivery};
use crate::wire::grid;
use futures_util::FutureExt as _;
use http_body::Frame;
use http_body_util::StreamBody;
use proptest::prelude::*;
use prost::Message as _;

fn all(mut framed: Framed) -> Vec<u8> {
    framed.copy_to_bytes(framed.remaining()).to_vec()
}

async fn read(chunks: Vec<Vec<u8>>, limit: usize) -> Result<Bytes, &'static str> {
    let frames = chunks
        .into_iter()
        .map(|chunk| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(chunk))));
    let body = StreamBody::new(futures_util::stream::iter(frames));
    Reader::new(body, limit)
        .message()
        .await
        .map_err(|error| match error {
            ReadError::Missing => "missing",
            ReadError::Cut => "cut",
            ReadError::TooLarge(_) => "too large",
            ReadError::Compressed => "compressed",
            ReadError::Trailing => "trailing",
            ReadError::Body(_) => "body",
        })
}

#[tokio::test]
async fn several_messages_are_read_in_any_parts_and_cancelled_reads_lose_none() {
    let bytes = [0, 0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9];
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    for size in 1..=bytes.len() {
        let mut frames: Vec<_> = bytes
            .chunks(size)
            .map(|chunk| Frame::data(Bytes::copy_from_slice(chunk)))
            .collect();
        frames.push(Frame::trailers(trailers.clone()));
        // Each part arrives only at the second poll.
        let mut ready = false;
        let mut frames = frames.into_iter().map(Ok::<_, std::convert::Infallible>);
        let frames = futures_util::stream::poll_fn(move |_| {
            ready = !ready;
            match ready {
                true => Poll::Pending,
                false => Poll::Ready(frames.next()),
            }
        });
        let mut reader = Reader::new(StreamBody::new(frames), 2);
        let mut read = Vec::new();
        while let Some(message) = loop {
            // The future is dropped each time it has to wait for a part.
            if let Some(message) = reader.next().now_or_never() {
                break message.unwrap();
            }
        } {
            read.push(message.to_vec());
        }
        assert_eq!(read, [vec![7, 8], vec![], vec![9]], "in parts of {size}");
        assert_eq!(reader.trailers().await.unwrap(), Some(trailers.clone()));
    }
}

#[tokio::test]
async fn reports_the_defect_of_a_body() {
    for (chunks, limit, expected) in [
        (vec![], 9, Err("missing")),
        (vec![vec![]], 9, Err("missing")),
        (vec![vec![0, 0]], 9, Err("cut")),
        (vec![vec![0, 0, 0, 0, 2, 1]], 9, Err("cut")),
        (vec![vec![1, 0, 0, 0, 0]], 9, Err("compressed")),
        (vec![vec![0, 0, 0, 0, 10]], 9, Err("too large")),
        (vec![vec![0, 255, 255, 255, 255]], 9, Err("too large")),
        (vec![vec![0, 0, 0, 0, 0, 1]], 9, Err("trailing")),
        (vec![vec![0, 0, 0, 0, 2], vec![1, 2, 3]], 9, Err("trailing")),
        (vec![vec![0, 0, 0, 0, 0]], 9, Ok(vec![])),
        (vec![vec![0], vec![0, 0, 0], vec![1, 7]], 1, Ok(vec![7])),
    ] {
        let found = read(chunks.clone(), limit).await;
        assert_eq!(found, expected.map(Bytes::from), "{chunks:?}");
    }
}

proptest! {
    #[test]
    fn a_delivery_is_what_the_stubs_write_and_is_read_in_any_parts(
        data in proptest::collection::vec(any::<u8>(), 0..9000),
        type_name in "[a-z/]{0,200}",
        receiver in "[a-z.]{0,200}",
        cuts in proptest::collection::vec(1..4000_usize, 0..9),
    ) {
        let framed = all(frame_delivery(&data.clone().into(), &type_name, &receiver));
        let written = grid::Delivery { ver: 0, data: data.into(), type_name, receiver };
        prop_assert_eq!(&framed[PREFIX_BYTES..], written.encode_to_vec());
        let mut chunks = Vec::new();
        let mut rest = &framed[..];
        for cut in cuts {
            let (chunk, left) = rest.split_at(cut.min(rest.len()));
            chunks.push(chunk.to_vec());
            rest = left;
        }
        chunks.push(rest.to_vec());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = runtime.block_on(read(chunks, 20_000)).unwrap();
        prop_assert_eq!(grid::Delivery::decode(read).unwrap(), written);
    }
}
