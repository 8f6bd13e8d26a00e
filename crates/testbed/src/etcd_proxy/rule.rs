//! What becomes of the parts of calls, and what the connections of a proxy share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::frames;

/// A part of a call, as a rule sees it.
#[derive(Debug, Clone, Copy)]
pub struct CallPart<'a> {
    /// The path of the method, such as `/etcdserverpb.KV/Range`.
    pub method: &'a str,
    /// Which part it is.
    pub kind: PartKind,
    /// The message, in the encoding of protobuf. Empty for headers and trailers.
    pub message: &'a [u8],
}

impl CallPart<'_> {
    /// Whether its message has these bytes in it: a key, for example.
    #[must_use]
    pub fn contains(&self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        self.message
            .windows(bytes.len().max(1))
            .any(|part| part == bytes)
    }

    /// Whether it is a message from etcd on a watch that says that the watch is created.
    #[must_use]
    pub fn is_created_reply(&self) -> bool {
        self.is_watch_reply() && frames::has_created_flag(self.message)
    }

    /// Whether it is a message from etcd on a watch that brings events.
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.is_watch_reply() && frames::has_events(self.message)
    }

    /// Whether it is a message from etcd on a watch that only tells its revision.
    #[must_use]
    pub fn is_progress(&self) -> bool {
        self.is_watch_reply() && !self.is_created_reply() && !self.has_events()
    }

    fn is_watch_reply(&self) -> bool {
        self.method == "/etcdserverpb.Watch/Watch" && self.kind == PartKind::Reply
    }
}

/// The kinds of parts of a call, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// A message from the client.
    Request,
    /// The headers of etcd's answer.
    Headers,
    /// A message from etcd.
    Reply,
    /// The trailers of etcd's answer, which end it. An answer that has only headers has none.
    Trailers,
}

/// What becomes of a part. Those behind it in the same direction wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on.
    Pass,
    /// It is passed on after so long.
    Delay(Duration),
    /// It is not passed on. Without its trailers, a call does not end.
    Swallow,
    /// In headers and trailers: gets a `grpc-status-details-bin` that is not base64. Headers then
    /// end the call, as unavailable.
    Poison,
}

type Rule = dyn Fn(CallPart<'_>) -> Fate + Send + Sync;

/// What the connections of a proxy share.
pub(super) struct ProxyState {
    pub(super) server: Mutex<SocketAddr>,
    pub(super) rule: Mutex<Arc<Rule>>,
    pub(super) open: AtomicUsize,
    pub(super) accepted: AtomicU64,
    pub(super) calls: AtomicU64,
    pub(super) refusing: AtomicBool,
    pub(super) cut: Notify,
}

impl ProxyState {
    /// Passes everything on, to this etcd.
    pub(super) fn new(server: SocketAddr) -> Self {
        Self {
            server: Mutex::new(server),
            rule: Mutex::new(Arc::new(|_| Fate::Pass)),
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            refusing: AtomicBool::new(false),
            cut: Notify::new(),
        }
    }

    /// What becomes of a part.
    pub(super) fn fate(&self, method: &str, kind: PartKind, message: &[u8]) -> Fate {
        let rule = Arc::clone(&lock(&self.rule));
        rule(CallPart {
            method,
            kind,
            message,
        })
    }
}

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
