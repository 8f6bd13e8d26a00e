//! Interprets etcd's errors. Pure.

use tonic::{Code, Status};

use super::transport::NotSent;
use crate::registry::{RegistryError, RegistryErrorKind};

/// The meaning of a failed exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The request never left this process.
    NotSent,
    /// The connection broke, or what arrived is not a valid reply: the request may have been
    /// executed.
    Broken,
    /// etcd replied, but the request may have been executed, or may still be.
    Unsettled,
    /// etcd replied that its storage is full. The request may have been executed nevertheless: the
    /// one that fills the storage is, and gets the same reply as those after it. If it has not been
    /// executed by now, it never will be.
    NoSpace,
    /// The token is no longer valid. Not executed.
    Token,
    /// The transaction is larger than etcd allows. Not executed.
    TooManyOperations,
    /// Not executed, for another reason.
    Refused(RegistryErrorKind),
}

/// Interprets a failure. A request counts as not executed only if that is certain.
pub(super) fn meaning(status: &Status) -> Meaning {
    let mut source = std::error::Error::source(status);
    if source.is_some() {
        // The status comes from the transport below, not from etcd.
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

/// Interprets a reply of etcd. Only the code and the text together identify an error: errors with
/// different guarantees share a code.
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

/// Returns the error for the caller.
pub(super) fn error(meaning: &Meaning, text: &str) -> RegistryError {
    let (kind, text) = match meaning {
        Meaning::NotSent => (
            RegistryErrorKind::Unavailable,
            format!("etcd cannot be reached: {text}"),
        ),
        Meaning::Broken => (
            RegistryErrorKind::Unknown,
            format!("the connection to etcd broke before it replied: {text}"),
        ),
        Meaning::Unsettled => (
            RegistryErrorKind::Unknown,
            format!("etcd does not know the outcome of the request: {text}"),
        ),
        Meaning::NoSpace => (
            RegistryErrorKind::NoSpace,
            format!(
                "etcd's storage is full: compact and defragment it, then disarm its alarm: {text}"
            ),
        ),
        Meaning::Token => (
            RegistryErrorKind::Auth,
            format!("etcd requires a user and a password in its URL: {text}"),
        ),
        Meaning::Refused(RegistryErrorKind::Auth) => (
            RegistryErrorKind::Auth,
            format!("etcd refuses the user: check its password and its role's permissions: {text}"),
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

    /// Codes and texts of etcd, and their meaning.
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
        // The request may have reached the log, the error comes from a proxy, or it is unknown.
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
    fn an_error_of_the_transport_is_no_reply() {
        let broken = std::io::Error::other("etcdserver: permission denied");
        let status = Status::from_error(Box::new(broken));
        assert_eq!(meaning(&status), Meaning::Broken);
    }
}
