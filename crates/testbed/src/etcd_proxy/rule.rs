//! The fates of the parts of calls, and the state that the connections of a proxy share.

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
    /// The message, protobuf-encoded. Empty for headers and trailers.
    pub message: &'a [u8],
}

impl CallPart<'_> {
    /// Whether the message contains these bytes, such as a key.
    #[must_use]
    pub fn contains(&self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        self.message
            .windows(bytes.len().max(1))
            .any(|part| part == bytes)
    }

    /// Whether this is a reply of etcd which reports that a watch was created.
    #[must_use]
    pub fn is_created_reply(&self) -> bool {
        self.is_watch_reply() && frames::has_created_flag(self.message)
    }

    /// Whether this is a reply of etcd that carries events of a watch.
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.is_watch_reply() && frames::has_events(self.message)
    }

    /// Whether this is a reply of etcd about a watch that reports neither its creation nor events,
    /// such as one that reports only its revision.
    #[must_use]
    pub fn is_progress(&self) -> bool {
        self.is_watch_reply() && !self.is_created_reply() && !self.has_events()
    }

    fn is_watch_reply(&self) -> bool {
        self.method == "/etcdserverpb.Watch/Watch" && self.kind == PartKind::Reply
    }
}

/// The kinds of parts of a call, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// A message from the client.
    Request,
    /// The headers of etcd's answer.
    Headers,
    /// A message from etcd.
    Reply,
    /// The trailers of etcd's answer, which end it. An answer that consists of headers only has
    /// none.
    Trailers,
}

/// The fate of a part. Later parts in the same direction wait for a delayed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The part is forwarded.
    Pass,
    /// The part is forwarded after this time.
    Delay(Duration),
    /// The part is not forwarded. Without its headers, no later part of an answer is forwarded
    /// either. Without its trailers, a call does not end.
    Swallow,
    /// Adds a `grpc-status-details-bin` that is not base64 to headers or trailers. Poisoned headers
    /// also end the call with the status unavailable.
    Poison,
}

type Rule = dyn Fn(CallPart<'_>) -> Fate + Send + Sync;

/// The state that the connections of a proxy share.
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
    /// Creates the state of a proxy that forwards everything to this etcd.
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

    /// Returns the fate of a part.
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
