//! The names of kinds and states, which must never change: logs, metrics, files and trailers of all
//! versions contain them.

use std::fmt::Display;

use actorgrid::{
    Code, FenceReason, Health, Kind, MailboxErrorKind, RegistryErrorKind, RequestErrorKind,
    RespondErrorKind, ServerErrorKind, ServerState, StopReason,
};

/// Writes a test for each type. The names must be complete: the error of an unknown name lists all.
macro_rules! pinned {
    ($($test:ident: $kind:ident { $($value:ident = $name:literal,)* })*) => {
        $(#[test]
        fn $test() {
            for (value, name) in [$(($kind::$value, $name)),*] {
                assert_eq!(value.as_str(), name);
                assert_displayed(value, name);
                let json = format!("{name:?}");
                assert_eq!(serde_json::to_string(&value).unwrap(), json);
                assert_eq!(serde_json::from_str::<$kind>(&json).unwrap(), value);
            }
            let error = serde_json::from_str::<$kind>("\"?\"").unwrap_err().to_string();
            let names = [$($name),*].map(|name| format!("`{name}`")).join(", ");
            assert_eq!(error, format!("unknown variant `?`, expected one of {names}"));
            assert!(serde_json::from_str::<$kind>("1").is_err());
        })*
    };
}

fn assert_displayed(value: impl Display, name: &str) {
    assert_eq!(value.to_string(), name);
    // They can be padded in tables, too.
    assert_eq!(format!("{value:>30}"), format!("{name:>30}"));
}

pinned! {
    kind: Kind {
        Peer = "peer",
        Actor = "actor",
        Mailbox = "mailbox",
    }
    request_error_kind: RequestErrorKind {
        InvalidName = "invalid-name",
        UnknownName = "unknown-name",
        NotHeld = "not-held",
        MailboxClosed = "mailbox-closed",
        Busy = "busy",
        UnknownMessage = "unknown-message",
        InvalidMessage = "invalid-message",
        MessageTooLarge = "message-too-large",
        ReplyTooLarge = "reply-too-large",
        UnexpectedReply = "unexpected-reply",
        InvalidHeaders = "invalid-headers",
        DeadlineExceeded = "deadline-exceeded",
        NoReply = "no-reply",
        Application = "application",
        AlreadyRunning = "already-running",
        UnknownActorType = "unknown-actor-type",
        StartFailed = "start-failed",
        NotReleased = "not-released",
        StopFailed = "stop-failed",
        Unreachable = "unreachable",
        ConnectionLost = "connection-lost",
        Registry = "registry",
        ClientClosed = "client-closed",
        Unknown = "unknown",
    }
    mailbox_error_kind: MailboxErrorKind {
        InvalidName = "invalid-name",
        Capacity = "capacity",
        Taken = "taken",
        Stopping = "stopping",
        Declared = "declared",
        Registry = "registry",
    }
    server_error_kind: ServerErrorKind {
        Configuration = "configuration",
        Listen = "listen",
        AddressInUse = "address-in-use",
        Registry = "registry",
        Aborted = "aborted",
    }
    registry_error_kind: RegistryErrorKind {
        Url = "url",
        Unavailable = "unavailable",
        Unknown = "unknown",
        LeaseNotFound = "lease-not-found",
        Compacted = "compacted",
        Auth = "auth",
        Tls = "tls",
        WrongCluster = "wrong-cluster",
        Restored = "restored",
        NoSpace = "no-space",
    }
    respond_error_kind: RespondErrorKind {
        Fenced = "fenced",
        RequesterGone = "requester-gone",
        TooLarge = "too-large",
        NoRoom = "no-room",
    }
    code: Code {
        Cancelled = "cancelled",
        Unknown = "unknown",
        InvalidArgument = "invalid-argument",
        DeadlineExceeded = "deadline-exceeded",
        NotFound = "not-found",
        AlreadyExists = "already-exists",
        PermissionDenied = "permission-denied",
        ResourceExhausted = "resource-exhausted",
        FailedPrecondition = "failed-precondition",
        Aborted = "aborted",
        OutOfRange = "out-of-range",
        Unimplemented = "unimplemented",
        Internal = "internal",
        Unavailable = "unavailable",
        DataLoss = "data-loss",
        Unauthenticated = "unauthenticated",
    }
    server_state: ServerState {
        Starting = "starting",
        Serving = "serving",
        Fenced = "fenced",
        Rejoining = "rejoining",
        Detached = "detached",
        Draining = "draining",
        Stopped = "stopped",
    }
    fence_reason: FenceReason {
        Deadline = "deadline",
        LeaseLost = "lease-lost",
        KeyLost = "key-lost",
        RuntimeStalled = "runtime-stalled",
        TaskDied = "task-died",
        ClusterChanged = "cluster-changed",
        Dropped = "dropped",
    }
    stop_reason: StopReason {
        Asked = "asked",
        Fenced = "fenced",
        Shutdown = "shutdown",
    }
    health: Health {
        Serving = "serving",
        NotServing = "not-serving",
        Unknown = "unknown",
        Unreachable = "unreachable",
        Unregistered = "unregistered",
    }
}
