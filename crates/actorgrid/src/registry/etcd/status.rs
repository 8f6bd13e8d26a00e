//! The meaning of etcd's errors. Pure.

use tonic::{Code, Status};

use super::transport::NotSent;
use crate::registry::{RegistryError, RegistryErrorKind};

/// The meaning of a failed exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It never left this process.
    NotSent,
    /// The connection broke, or what came is not an answer: it may have been executed.
    Broken,
    /// etcd answered, but it may have been executed, or may still be.
    Unsettled,
    /// etcd answered that its storage is full. The request may have been executed all the same:
    /// the one that fills the storage is, and is answered like those after it. But no more is to
    /// come of it.
    NoSpace,
    /// The token is not valid any more; not executed.
    Token,
    /// The transaction is larger than etcd allows; not executed.
    TooManyOperations,
    /// Not executed, for another reason.
    Refused(RegistryErrorKind),
}

/// Reads a failure. Only what is known to be so counts as not executed.
pub(super) fn meaning(status: &Status) -> Meaning {
    let mut source = std::error::Error::source(status);
    if source.is_some() {
        // Not from etcd: from the transport below.
        while let Some(error) = source {
            if error.is::<NotSent>() {
                return Meaning::NotSent;
            }
            source = error.source();
        }
        return Meaning::Broken;
    }
    answered(status.code(), status.message())
}

/// Reads an answer of etcd. The code and the text together are the identity of its errors: several
/// that differ in what they promise share a code.
pub(super) fn answered(code: Code, text: &str) -> Meaning {
    let text = text.strip_prefix("etcdserver: ").unwrap_or_default();
    match (code, text) {
        (Code::NotFound, "requested lease not found") => {
            Meaning::Refused(RegistryErrorKind::LeaseNotFound)
        }
        (Code::OutOfRange, "mvcc: required revision has been compacted") => {
            Meaning::Refused(RegistryErrorKind::Compacted)
        }
        (Code::ResourceExhausted, "mvcc: database space exceeded") => Meaning::NoSpace,
        (Code::Unauthenticated, "invalid auth token")
        | (Code::InvalidArgument, "revision of auth store is old" | "user name is empty") => {
            Meaning::Token
        }
        (Code::PermissionDenied, "permission denied")
        | (Code::InvalidArgument, "authentication failed, invalid user ID or password")
        | (Code::FailedPrecondition, "authentication is not enabled") => {
            Meaning::Refused(RegistryErrorKind::Auth)
        }
        (Code::InvalidArgument, "too many operations in txn request") => Meaning::TooManyOperations,
        (
            Code::InvalidArgument,
            "duplicate key given in txn request" | "request is too large" | "key is not provided",
        )
        | (Code::ResourceExhausted, "too many requests")
        | (
            Code::OutOfRange,
            "mvcc: required revision is a future revision" | "too large lease TTL",
        ) => Meaning::Refused(RegistryErrorKind::Unavailable),
        _ => Meaning::Unsettled,
    }
}

/// The error that a caller gets.
pub(super) fn error(meaning: &Meaning, text: &str) -> RegistryError {
    let (kind, text) = match meaning {
        Meaning::NotSent => (
            RegistryErrorKind::Unavailable,
            format!("etcd cannot be reached: {text}"),
        ),
        Meaning::Broken => (
            RegistryErrorKind::Unknown,
            format!("the connection to etcd broke before its answer came: {text}"),
        ),
        Meaning::Unsettled => (
            RegistryErrorKind::Unknown,
            format!("etcd does not know what became of the request: {text}"),
        ),
        Meaning::NoSpace => (
            RegistryErrorKind::NoSpace,
            format!(
                "etcd's storage is full: compact and defragment it, then disarm its alarm: {text}"
            ),
        ),
        Meaning::Token => (
            RegistryErrorKind::Auth,
            format!("etcd asks for a user and a password in its URL: {text}"),
        ),
        Meaning::Refused(RegistryErrorKind::Auth) => (
            RegistryErrorKind::Auth,
            format!("etcd refuses the user: check its password and its role's keys: {text}"),
        ),
        Meaning::Refused(kind) => (*kind, format!("etcd refused the request: {text}")),
        Meaning::TooManyOperations => (
            RegistryErrorKind::Unavailable,
            format!("etcd allows fewer operations in a transaction than one claim needs: {text}"),
        ),
    };
    RegistryError::new(kind, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    use Meaning::{NoSpace, Refused, Token, TooManyOperations, Unsettled};

    /// Codes and texts of etcd, and what they mean.
    const ANSWERS: &[(Code, &str, Meaning)] = &[
        (
            Code::NotFound,
            "etcdserver: requested lease not found",
            Refused(RegistryErrorKind::LeaseNotFound),
        ),
        (
            Code::OutOfRange,
            "etcdserver: mvcc: required revision has been compacted",
            Refused(RegistryErrorKind::Compacted),
        ),
        (
            Code::ResourceExhausted,
            "etcdserver: mvcc: database space exceeded",
            NoSpace,
        ),
        (
            Code::ResourceExhausted,
            "etcdserver: too many requests",
            Refused(RegistryErrorKind::Unavailable),
        ),
        (
            Code::Unauthenticated,
            "etcdserver: invalid auth token",
            Token,
        ),
        (
            Code::InvalidArgument,
            "etcdserver: revision of auth store is old",
            Token,
        ),
        (
            Code::InvalidArgument,
            "etcdserver: user name is empty",
            Token,
        ),
        (
            Code::PermissionDenied,
            "etcdserver: permission denied",
            Refused(RegistryErrorKind::Auth),
        ),
        (
            Code::InvalidArgument,
            "etcdserver: authentication failed, invalid user ID or password",
            Refused(RegistryErrorKind::Auth),
        ),
        (
            Code::InvalidArgument,
            "etcdserver: too many operations in txn request",
            TooManyOperations,
        ),
        (
            Code::InvalidArgument,
            "etcdserver: duplicate key given in txn request",
            Refused(RegistryErrorKind::Unavailable),
        ),
        // Reached the log, perhaps; reported by a proxy; or not known.
        (
            Code::Unavailable,
            "etcdserver: request timed out",
            Unsettled,
        ),
        (Code::Unavailable, "etcdserver: leader changed", Unsettled),
        (Code::Unavailable, "etcdserver: no leader", Unsettled),
        (Code::Unavailable, "etcdserver: server stopped", Unsettled),
        (Code::Unavailable, "permission denied", Unsettled),
        (Code::PermissionDenied, "permission denied", Unsettled),
        (Code::NotFound, "requested lease not found", Unsettled),
        (
            Code::Unknown,
            "etcdserver: requested lease not found",
            Unsettled,
        ),
        (Code::ResourceExhausted, "", Unsettled),
        (Code::DeadlineExceeded, "etcdserver: too slow", Unsettled),
    ];

    #[test]
    fn only_what_etcd_certainly_did_not_do_is_refused() {
        for (code, text, expected) in ANSWERS {
            assert_eq!(answered(*code, text), *expected, "{code:?} {text}");
        }
    }

    #[test]
    fn a_doubt_is_reported_as_one() {
        for (meaning, doubt) in [
            (Meaning::NotSent, false),
            (Meaning::Broken, true),
            (Meaning::Unsettled, true),
            (Meaning::Token, false),
            (Meaning::TooManyOperations, false),
            (Meaning::Refused(RegistryErrorKind::Auth), false),
        ] {
            assert_eq!(
                error(&meaning, "").may_have_executed(),
                doubt,
                "{meaning:?}"
            );
        }
    }

    #[test]
    fn what_the_transport_says_is_no_answer() {
        let broken = std::io::Error::other("etcdserver: permission denied");
        let status = Status::from_error(Box::new(broken));
        assert_eq!(meaning(&status), Meaning::Broken);
    }
}
