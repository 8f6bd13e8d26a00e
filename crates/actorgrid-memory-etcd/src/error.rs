//! The errors of etcd, each with the code and the text that clients match on.

use tonic::{Code, Status};

/// An error that etcd answers a request with. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EtcdError {
    EmptyKey,
    KeyNotFound,
    ValueProvided,
    LeaseProvided,
    InvalidSortOption,
    TooManyOps,
    DuplicateKey,
    Compacted,
    FutureRevision,
    NoSpace,
    RequestTooLarge,
    TooManyRequests,
    LeaseNotFound,
    LeaseExists,
    LeaseTtlTooLarge,
    UserEmpty,
    AuthFailed,
    AuthNotEnabled,
    InvalidAuthToken,
    TimedOut,
}

impl EtcdError {
    fn code(self) -> Code {
        match self {
            Self::EmptyKey
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::InvalidSortOption
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::RequestTooLarge
            | Self::UserEmpty
            | Self::AuthFailed => Code::InvalidArgument,
            Self::Compacted | Self::FutureRevision | Self::LeaseTtlTooLarge => Code::OutOfRange,
            Self::NoSpace | Self::TooManyRequests => Code::ResourceExhausted,
            Self::LeaseNotFound => Code::NotFound,
            Self::LeaseExists | Self::AuthNotEnabled => Code::FailedPrecondition,
            Self::InvalidAuthToken => Code::Unauthenticated,
            Self::TimedOut => Code::Unavailable,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::EmptyKey => "etcdserver: key is not provided",
            Self::KeyNotFound => "etcdserver: key not found",
            Self::ValueProvided => "etcdserver: value is provided",
            Self::LeaseProvided => "etcdserver: lease is provided",
            Self::InvalidSortOption => "etcdserver: invalid sort option",
            Self::TooManyOps => "etcdserver: too many operations in txn request",
            Self::DuplicateKey => "etcdserver: duplicate key given in txn request",
            Self::Compacted => "etcdserver: mvcc: required revision has been compacted",
            Self::FutureRevision => "etcdserver: mvcc: required revision is a future revision",
            Self::NoSpace => "etcdserver: mvcc: database space exceeded",
            Self::RequestTooLarge => "etcdserver: request is too large",
            Self::TooManyRequests => "etcdserver: too many requests",
            Self::LeaseNotFound => "etcdserver: requested lease not found",
            Self::LeaseExists => "etcdserver: lease already exists",
            Self::LeaseTtlTooLarge => "etcdserver: too large lease TTL",
            Self::UserEmpty => "etcdserver: user name is empty",
            Self::AuthFailed => "etcdserver: authentication failed, invalid user ID or password",
            Self::AuthNotEnabled => "etcdserver: authentication is not enabled",
            Self::InvalidAuthToken => "etcdserver: invalid auth token",
            Self::TimedOut => "etcdserver: request timed out",
        }
    }

    /// Returns the reason with which etcd cancels a watch for this error: the code by its name in
    /// Go, and the text.
    pub(crate) fn cancel_reason(self) -> String {
        let code = format!("{:?}", self.code());
        format!("rpc error: code = {code} desc = {}", self.text())
    }
}

impl From<EtcdError> for Status {
    fn from(error: EtcdError) -> Self {
        Self::new(error.code(), error.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_watch_names_the_code_as_go_does() {
        assert_eq!(
            EtcdError::InvalidAuthToken.cancel_reason(),
            "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"
        );
    }
}
