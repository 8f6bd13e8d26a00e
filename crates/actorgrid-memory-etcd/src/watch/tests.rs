//! Tests of what a comparison with etcd does not reach: limits, faults, and what passes with time.

use std::time::Duration;

use bytes::Bytes;

use super::WatchSession;
use crate::access::Access;
use crate::bounds::Bounds;
use crate::identity::Identity;
use crate::numbers::Numbers;
use crate::state::EtcdState;
use crate::wire::watch_request::RequestUnion;
use crate::wire::{WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse};

const NOW: Duration = Duration::ZERO;

fn state(bounds: Bounds) -> EtcdState {
    let identity = Identity {
        cluster: 1,
        member: 2,
        name: String::new(),
        client_urls: Vec::new(),
        raft_term: 2,
    };
    EtcdState::new(identity, Access::default(), bounds, Numbers::new(7))
}

fn change(state: &mut EtcdState) {
    let mut write = state.store.write();
    write.put(&Bytes::from_static(b"a"), Bytes::new(), 0);
    write.commit();
}

fn create(start_revision: i64) -> WatchRequest {
    let create = WatchCreateRequest {
        key: "a".into(),
        start_revision,
        progress_notify: true,
        ..WatchCreateRequest::default()
    };
    WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    }
}

fn ask_progress() -> WatchRequest {
    let progress = RequestUnion::ProgressRequest(WatchProgressRequest {});
    WatchRequest {
        request_union: Some(progress),
    }
}

/// Returns the id, the revision of the header and the number of changes of each message.
fn brief(messages: &[WatchResponse]) -> Vec<(i64, i64, usize)> {
    let revision = |message: &WatchResponse| message.header.as_ref().unwrap().revision;
    let brief = messages.iter();
    brief
        .map(|message| (message.watch_id, revision(message), message.events.len()))
        .collect()
}

#[test]
fn watches_are_limited_and_their_ends_make_room() {
    let mut state = state(Bounds {
        max_watches: 1,
        ..Bounds::default()
    });
    let mut first = WatchSession::default();
    let mut second = WatchSession::default();
    let created = first.request(&mut state, NOW, None, create(0));
    assert!(!created[0].canceled);
    let refused = second.request(&mut state, NOW, None, create(0));
    assert!(refused[0].canceled && refused[0].cancel_reason.contains("too many requests"));
    first.end(&mut state);
    let created = second.request(&mut state, NOW, None, create(0));
    assert!(!created[0].canceled && state.watches == 1);
}

#[test]
fn progress_follows_the_changes_and_comes_by_itself_after_a_while() {
    let mut state = state(Bounds::default());
    change(&mut state);
    change(&mut state);
    let mut session = WatchSession::default();
    session.request(&mut state, NOW, None, create(2));
    session.request(&mut state, NOW, None, ask_progress());
    // Both revisions at once, as the watch catches up; then one by one.
    assert_eq!(brief(&session.messages(&mut state, NOW)), [(0, 3, 2)]);
    assert_eq!(brief(&session.messages(&mut state, NOW)), [(-1, 3, 0)]);
    change(&mut state);
    change(&mut state);
    assert_eq!(brief(&session.messages(&mut state, NOW)), [(0, 4, 1)]);
    assert_eq!(brief(&session.messages(&mut state, NOW)), [(0, 5, 1)]);
    assert!(session.messages(&mut state, NOW).is_empty());
    let due = session.due().unwrap();
    assert_eq!(brief(&session.messages(&mut state, due)), [(0, 5, 0)]);
    assert_eq!(session.due(), Some(2 * due));
}

#[test]
fn a_watch_that_is_ahead_reports_no_progress() {
    let mut state = state(Bounds::default());
    let mut session = WatchSession::default();
    session.request(&mut state, NOW, None, create(9));
    session.request(&mut state, NOW, None, ask_progress());
    assert!(session.messages(&mut state, NOW).is_empty());
    change(&mut state);
    assert!(session.messages(&mut state, NOW).is_empty());
}

#[test]
fn a_watch_that_is_overtaken_by_compaction_ends() {
    let mut state = state(Bounds::default());
    let mut session = WatchSession::default();
    session.request(&mut state, NOW, None, create(0));
    for _ in 0..3 {
        change(&mut state);
    }
    // The change of revision 3 itself can still be delivered.
    let mut other = WatchSession::default();
    state.store.compact(3).unwrap();
    let ended = session.messages(&mut state, NOW);
    assert!(ended[0].canceled && ended[0].compact_revision == 3);
    assert!(session.messages(&mut state, NOW).is_empty());
    other.request(&mut state, NOW, None, create(3));
    assert_eq!(brief(&other.messages(&mut state, NOW)), [(0, 4, 2)]);
}

#[test]
fn swallowed_messages_leave_no_trace() {
    let mut state = state(Bounds::default());
    let mut session = WatchSession::default();
    session.request(&mut state, NOW, None, create(0));
    for _ in 0..3 {
        change(&mut state);
    }
    state.faults.swallowed_messages = 2;
    session.request(&mut state, NOW, None, ask_progress());
    assert_eq!(brief(&session.messages(&mut state, NOW)), [(0, 4, 1)]);
    assert_eq!(brief(&session.messages(&mut state, NOW)), [(-1, 4, 0)]);
}
