//! The names of kinds and states, which never change: they stand in the logs, the metrics, the
//! files and the trailers of all versions.

use std::fmt::Display;

use actorgrid::{
    Code, FenceReason, Health, Kind, MailboxErrorKind, RegistryErrorKind, RequestErrorKind,
    RespondErrorKind, ServerErrorKind, ServerState, StopReason,
};

/// A line for each value, and that there is no other one: what cannot be read lists all.
macro_rules! pinned {
    ($($kind:ident { $($value:ident = $name:literal,)* })*) => {
        $(
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
        )*
    };
}

fn assert_displayed(value: impl Display, name: &str) {
    assert_eq!(value.to_string(), name);
    // In tables too.
    assert_eq!(format!("{value:>30}"), format!("{name:>30}"));
}

#[test]
fn kinds_and_states_keep_their_names() {
    pinned! {
        Kind {
            Peer = "peer",
            Actor = "actor",
            Mailbox = "mailbox",
        }
        RequestErrorKind {
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
            Unreachable = "unreachable",
            ConnectionLost = "connection-lost",
            Registry = "registry",
            ClientClosed = "client-closed",
            Unknown = "unknown",
        }
        MailboxErrorKind {
            InvalidName = "invalid-name",
            Capacity = "capacity",
            Taken = "taken",
            Stopping = "stopping",
            Declared = "declared",
            Registry = "registry",
        }
        ServerErrorKind {
            Configuration = "configuration",
            Listen = "listen",
            AddressInUse = "address-in-use",
            Registry = "registry",
        }
        RegistryErrorKind {
            Url = "url",
            Unavailable = "unavailable",
            Unknown = "unknown",
            LeaseNotFound = "lease-not-found",
            Compacted = "compacted",
            Auth = "auth",
            Tls = "tls",
            WrongCluster = "wrong-cluster",
            NoSpace = "no-space",
        }
        RespondErrorKind {
            Fenced = "fenced",
            RequesterGone = "requester-gone",
            TooLarge = "too-large",
        }
        Code {
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
        ServerState {
            Starting = "starting",
            Serving = "serving",
            Fenced = "fenced",
            Rejoining = "rejoining",
            Draining = "draining",
            Stopped = "stopped",
        }
        FenceReason {
            Deadline = "deadline",
            LeaseLost = "lease-lost",
            KeyLost = "key-lost",
            Dropped = "dropped",
        }
        StopReason {
            Asked = "asked",
            Fenced = "fenced",
            Shutdown = "shutdown",
        }
        Health {
            Serving = "serving",
            NotServing = "not-serving",
            Unknown = "unknown",
            Unreachable = "unreachable",
            Unregistered = "unregistered",
        }
    }
}
