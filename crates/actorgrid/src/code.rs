//! The gRPC codes that an actor can give its errors.

use crate::stable_names::{StableName as _, stable_names};

/// A gRPC code that an actor gives its own error: see [`Failure::code`](crate::Failure::code) and
/// [`RequestError::code`](crate::RequestError::code).
///
/// The code informs only the caller: whatever it is, an actor's error is an answer, and the library
/// never repeats the request because of it. The numbers are those of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The operation was cancelled, usually by the caller.
    Cancelled = 1,
    /// An error without a more specific code.
    Unknown = 2,
    /// The caller gave an argument that is wrong whatever state the system is in.
    InvalidArgument = 3,
    /// A deadline of the actor passed before the operation was complete. The request's own deadline
    /// is [`RequestErrorKind::DeadlineExceeded`](crate::RequestErrorKind::DeadlineExceeded).
    DeadlineExceeded = 4,
    /// A requested entity does not exist.
    NotFound = 5,
    /// The entity to create already exists.
    AlreadyExists = 6,
    /// The caller is not allowed to do this.
    PermissionDenied = 7,
    /// A quota, or the space, is exhausted.
    ResourceExhausted = 8,
    /// The system is not in the state that the operation needs, and a retry will not help.
    FailedPrecondition = 9,
    /// The operation was aborted, usually because of a concurrent one.
    Aborted = 10,
    /// The operation went past the end of the valid range.
    OutOfRange = 11,
    /// The operation is not implemented.
    Unimplemented = 12,
    /// An invariant of the system is broken.
    Internal = 13,
    /// The service is currently unavailable.
    Unavailable = 14,
    /// Data is lost or corrupted beyond repair.
    DataLoss = 15,
    /// The caller gave no valid credentials.
    Unauthenticated = 16,
}

stable_names! {
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
}

impl Code {
    /// Returns the number of the code in gRPC, from 1 to 16.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// Returns the code with this number.
    pub(crate) fn of_number(number: i32) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_grpc() {
        for number in 1..=16 {
            let code = Code::of_number(number).unwrap();
            assert_eq!(code.number(), number);
            let grpc = tonic::Code::from_i32(number);
            assert_eq!(format!("{code:?}"), format!("{grpc:?}"));
        }
        assert_eq!(Code::of_number(0), None);
        assert_eq!(Code::of_number(17), None);
    }
}
