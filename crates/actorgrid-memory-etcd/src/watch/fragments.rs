//! Splits a message of a watch that is too large.

use prost::Message as _;

use crate::wire::WatchResponse;

/// Splits a message into messages below a size, as etcd does: a single change is never split, and
/// all messages but the last one are marked.
pub(super) fn fragments(whole: WatchResponse, max_bytes: usize) -> Vec<WatchResponse> {
    if whole.events.len() < 2 || whole.encoded_len() < max_bytes {
        return vec![whole];
    }
    let mut events = whole.events;
    let empty = WatchResponse {
        events: Vec::new(),
        fragment: true,
        ..whole
    };
    let start = empty.encoded_len();
    let mut fragments = Vec::new();
    let (mut current, mut bytes) = (empty.clone(), start);
    for event in events.drain(..) {
        let weight = prost::encoding::message::encoded_len(11, &event);
        if !current.events.is_empty() && bytes + weight >= max_bytes {
            fragments.push(std::mem::replace(&mut current, empty.clone()));
            bytes = start;
        }
        bytes += weight;
        current.events.push(event);
    }
    current.fragment = false;
    fragments.push(current);
    fragments
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::{Event, KeyValue};

    fn response(sizes: &[usize]) -> WatchResponse {
        let event = |size: &usize| Event {
            kv: Some(KeyValue {
                value: Bytes::from(vec![7; *size]),
                ..KeyValue::default()
            }),
            ..Event::default()
        };
        WatchResponse {
            watch_id: 3,
            events: sizes.iter().map(event).collect(),
            ..WatchResponse::default()
        }
    }

    #[test]
    fn only_the_last_fragment_is_unmarked_and_nothing_is_lost() {
        for (sizes, lengths) in [
            (&[][..], &[0][..]),
            (&[5000], &[1]),
            (&[100, 100], &[2]),
            (&[600, 600, 600], &[1, 1, 1]),
            (&[300, 300, 600, 5000, 1], &[2, 1, 1, 1]),
        ] {
            let whole = response(sizes);
            let split = fragments(whole.clone(), 1000);
            let found: Vec<usize> = split.iter().map(|part| part.events.len()).collect();
            assert_eq!(found, lengths, "{sizes:?}");
            let (last, rest) = split.split_last().unwrap();
            assert!(!last.fragment && rest.iter().all(|part| part.fragment));
            let small = |part: &WatchResponse| part.events.len() < 2 || part.encoded_len() < 1000;
            assert!(split.iter().all(small));
            let events = split.into_iter().flat_map(|part| part.events);
            assert_eq!(events.collect::<Vec<_>>(), whole.events);
        }
    }
}
