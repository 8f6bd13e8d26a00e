//! Tests of the limits and the room, which a comparison with etcd does not reach.

use std::time::Duration;

use bytes::Bytes;

use super::{compact, delete_range, grant, put, range, txn};
use crate::access::Access;
use crate::bounds::Bounds;
use crate::error::EtcdError;
use crate::identity::Identity;
use crate::numbers::Numbers;
use crate::state::EtcdState;
use crate::wire::request_op::Request;
use crate::wire::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp,
    TxnRequest,
};

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

fn of(key: &'static str, bytes: usize) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: Bytes::from(vec![0; bytes]),
        ..PutRequest::default()
    }
}

fn txn_of(put: PutRequest) -> TxnRequest {
    let request = Some(Request::RequestPut(put));
    TxnRequest {
        // The branch is not chosen, and counts nevertheless.
        failure: vec![RequestOp { request }],
        ..TxnRequest::default()
    }
}

#[test]
fn keys_are_limited_and_deletions_make_room_for_them() {
    let mut state = state(Bounds {
        max_keys: 2,
        ..Bounds::default()
    });
    put(&mut state, &of("a", 1)).unwrap();
    put(&mut state, &of("b", 1)).unwrap();
    assert_eq!(put(&mut state, &of("c", 1)), Err(EtcdError::NoSpace));
    assert_eq!(
        txn(&mut state, &txn_of(of("c", 1))),
        Err(EtcdError::NoSpace)
    );
    let deletion = DeleteRangeRequest {
        key: "a".into(),
        ..DeleteRangeRequest::default()
    };
    delete_range(&mut state, &deletion).unwrap();
    put(&mut state, &of("c", 1)).unwrap();
}

#[test]
fn bytes_are_limited_and_compaction_makes_room() {
    let mut state = state(Bounds {
        max_bytes: 4_000,
        ..Bounds::default()
    });
    for _ in 0..3 {
        put(&mut state, &of("a", 1_000)).unwrap();
    }
    assert_eq!(put(&mut state, &of("a", 1_000)), Err(EtcdError::NoSpace));
    let request = CompactionRequest {
        revision: state.store.revision(),
        physical: true,
    };
    compact(&mut state, &request).unwrap();
    assert_eq!(state.store.bytes(), 1_000 + 1 + crate::store::RECORD_BYTES);
    put(&mut state, &of("a", 1_000)).unwrap();
}

#[test]
fn history_is_limited_by_compacting_the_oldest_quarter() {
    let mut state = state(Bounds {
        max_history: 8,
        ..Bounds::default()
    });
    for _ in 0..9 {
        put(&mut state, &of("a", 1)).unwrap();
        let bounds = state.bounds.clone();
        state.store.limit_history(&bounds);
    }
    // The changes have the revisions 2 to 10.
    assert_eq!(
        (state.store.compacted(), state.store.changes(0).count()),
        (5, 6)
    );
    let at = |revision| RangeRequest {
        key: "a".into(),
        revision,
        ..RangeRequest::default()
    };
    assert_eq!(range(&mut state, &at(4)), Err(EtcdError::Compacted));
    assert_eq!(range(&mut state, &at(5)).unwrap().kvs[0].version, 4);
}

#[test]
fn leases_are_limited_and_their_ids_differ() {
    let mut state = state(Bounds {
        max_leases: 2,
        ..Bounds::default()
    });
    let request = LeaseGrantRequest { ttl: 10, id: 0 };
    let mut lease = || grant(&mut state, Duration::ZERO, &request).map(|reply| reply.id);
    let (first, second) = (lease().unwrap(), lease().unwrap());
    assert!(first > 0 && second > 0 && first != second);
    assert_eq!(lease(), Err(EtcdError::TooManyRequests));
}
