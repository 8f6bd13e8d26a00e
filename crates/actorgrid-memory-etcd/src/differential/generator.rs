//! Random steps.

use bytes::Bytes;
use fastrand::Rng;

use super::operation::Operation;
use crate::wire::compare::TargetUnion;
use crate::wire::request_op::Request;
use crate::wire::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest,
    LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
    WatchCreateRequest,
};

/// Few, so that steps meet: etcd sorts so many equal values in a defined order.
const KEYS: [&[u8]; 12] = [
    b"\0",
    b"a",
    b"a\0",
    b"a/1",
    b"a/2",
    b"ab",
    b"b",
    b"b/1",
    b"c",
    b"\xc3\xa4",
    b"\xff",
    b"\xff\xff",
];
const VALUES: [&[u8]; 4] = [b"", b"1", b"2", b"long enough to be seen"];
/// Long enough that no lease ends during a test.
const TTLS: [i64; 4] = [600, 3600, 9_000_000_000, 9_000_000_001];

/// Draws the steps of a history.
pub(super) struct Generator {
    rng: Rng,
    /// The revision after the last step.
    pub(super) revision: i64,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            revision: 1,
        }
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.rng.usize(..end)
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.rng.usize(..one_in) == 0
    }

    pub(super) fn operation(&mut self) -> Operation {
        match self.below(100) {
            0..25 => Operation::Put(self.put()),
            25..45 => Operation::Range(self.range()),
            45..55 => Operation::DeleteRange(self.delete_range()),
            55..85 => Operation::Txn(self.txn(0)),
            85..87 => Operation::Compact(self.compaction()),
            87..91 => Operation::Grant(LeaseGrantRequest {
                ttl: TTLS[self.below(TTLS.len())],
                id: self.lease(),
            }),
            91..93 => Operation::Revoke(LeaseRevokeRequest { id: self.lease() }),
            93..95 => Operation::KeepAlive(LeaseKeepAliveRequest { id: self.lease() }),
            95..98 => Operation::TimeToLive(LeaseTimeToLiveRequest {
                id: self.lease(),
                keys: self.chance(2),
            }),
            _ => Operation::Leases,
        }
    }

    pub(super) fn watch(&mut self) -> WatchCreateRequest {
        let (key, range_end) = self.keys();
        let start_revision = match self.below(4) {
            0 => 0,
            1 => self.revision + 1,
            _ => (self.revision - self.rng.i64(0..20)).max(1),
        };
        WatchCreateRequest {
            key,
            range_end,
            start_revision,
            progress_notify: self.chance(2),
            filters: (0..2).filter(|_| self.chance(5)).collect(),
            prev_kv: self.chance(2),
            watch_id: 0,
            fragment: self.chance(2),
        }
    }

    fn key(&mut self) -> Bytes {
        Bytes::from_static(KEYS[self.below(KEYS.len())])
    }

    fn value(&mut self) -> Bytes {
        Bytes::from_static(VALUES[self.below(VALUES.len())])
    }

    /// Returns a range of one key, of several, or of all from a key on.
    fn keys(&mut self) -> (Bytes, Bytes) {
        let end = match self.below(4) {
            0 => self.key(),
            1 => Bytes::from_static(b"\0"),
            _ => Bytes::new(),
        };
        let key = if self.chance(60) {
            Bytes::new()
        } else {
            self.key()
        };
        (key, end)
    }

    /// Returns the id of a lease, which may exist.
    fn lease(&mut self) -> i64 {
        self.rng.i64(1..8)
    }

    /// Returns a revision of the recent past, rarely of the future.
    fn recent(&mut self) -> i64 {
        self.revision - self.rng.i64(-1..12)
    }

    /// Returns a revision to filter by, mostly none.
    fn filter(&mut self) -> i64 {
        if self.chance(8) { self.recent() } else { 0 }
    }

    fn range(&mut self) -> RangeRequest {
        let (key, range_end) = self.keys();
        RangeRequest {
            key,
            range_end,
            limit: if self.chance(3) {
                self.rng.i64(0..4)
            } else {
                0
            },
            revision: if self.chance(3) { self.recent() } else { 0 },
            sort_order: if self.chance(3) {
                self.rng.i32(0..3)
            } else {
                0
            },
            sort_target: if self.chance(3) {
                self.rng.i32(0..6)
            } else {
                0
            },
            serializable: self.chance(4),
            keys_only: self.chance(5),
            count_only: self.chance(8),
            min_mod_revision: self.filter(),
            max_mod_revision: self.filter(),
            min_create_revision: self.filter(),
            max_create_revision: self.filter(),
        }
    }

    fn put(&mut self) -> PutRequest {
        let ignore_value = self.chance(10);
        let ignore_lease = self.chance(10);
        let has_value = !ignore_value || self.chance(5);
        let has_lease = self.chance(3) && (!ignore_lease || self.chance(5));
        PutRequest {
            key: if self.chance(60) {
                Bytes::new()
            } else {
                self.key()
            },
            value: if has_value {
                self.value()
            } else {
                Bytes::new()
            },
            lease: if has_lease { self.lease() } else { 0 },
            prev_kv: self.chance(2),
            ignore_value,
            ignore_lease,
        }
    }

    fn delete_range(&mut self) -> DeleteRangeRequest {
        let (key, range_end) = self.keys();
        DeleteRangeRequest {
            key,
            range_end,
            prev_kv: self.chance(2),
        }
    }

    fn compaction(&mut self) -> CompactionRequest {
        CompactionRequest {
            revision: self.recent(),
            physical: self.chance(2),
        }
    }

    fn txn(&mut self, depth: usize) -> TxnRequest {
        let compares = self.below(3);
        let (success, failure) = (self.below(4), self.below(4));
        TxnRequest {
            compare: (0..compares).map(|_| self.compare()).collect(),
            success: (0..success).map(|_| self.request_op(depth)).collect(),
            failure: (0..failure).map(|_| self.request_op(depth)).collect(),
        }
    }

    fn request_op(&mut self, depth: usize) -> RequestOp {
        let request = match self.below(if depth < 2 { 10 } else { 8 }) {
            0..3 => Request::RequestRange(self.range()),
            3..6 => Request::RequestPut(self.put()),
            6..8 => Request::RequestDeleteRange(self.bounded_deletion()),
            _ => Request::RequestTxn(self.txn(depth + 1)),
        };
        let request = Some(request).filter(|_| !self.chance(200));
        RequestOp { request }
    }

    /// Returns a deletion that is not of all keys from one on: etcd compares those with the puts of
    /// the same transaction as if their end were the key of one zero byte, in a search whose result
    /// depends on the other deletions.
    fn bounded_deletion(&mut self) -> DeleteRangeRequest {
        loop {
            let deletion = self.delete_range();
            if deletion.range_end.is_empty() || deletion.range_end > deletion.key {
                return deletion;
            }
        }
    }

    fn compare(&mut self) -> Compare {
        let (key, range_end) = self.keys();
        let number = if self.chance(2) { 0 } else { self.recent() };
        let target = self.rng.i32(0..5);
        // Sometimes for another target than the one that is compared.
        let union = if self.chance(8) {
            self.rng.i32(0..6)
        } else {
            target
        };
        let target_union = match union {
            0 => Some(TargetUnion::Version(self.rng.i64(0..4))),
            1 => Some(TargetUnion::CreateRevision(number)),
            2 => Some(TargetUnion::ModRevision(number)),
            3 => Some(TargetUnion::Value(self.value())),
            4 => Some(TargetUnion::Lease(self.rng.i64(0..8))),
            _ => None,
        };
        Compare {
            result: self.rng.i32(0..4),
            target,
            key,
            target_union,
            range_end,
        }
    }
}
