//! The reasons for which a side ends a link.

use std::fmt;

/// The reason for which a side ends the link. Below 16 nothing is wrong; below 32 the link was
/// never established; from 32 on one of the sides did something wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoAwayReason {
    /// The process, or its server or client, shuts down.
    Shutdown,
    /// Nothing was sent for a long time.
    Idle,
    /// The same client has established a link of a newer generation.
    Replaced,
    /// The peer has no room for the connection.
    Crowded,
    /// The certificate of the other side is not trusted any more.
    Untrusted,
    /// No version is spoken by both sides.
    Version,
    /// The other side lacks a feature that this one requires.
    Feature,
    /// The other side belongs to another namespace.
    Namespace,
    /// The process is another one than the client wants to reach.
    Incarnation,
    /// The received bytes are not allowed by the protocol.
    Protocol,
    /// A frame, or a part of one, is larger than its limit.
    FrameSize,
    /// A reference to a text that is not remembered, or one beyond the limits of what is.
    Reference,
    /// More was sent than the credit allowed.
    FlowControl,
    /// Too many frames that carry nothing forward.
    Flood,
    /// For too long, nothing was received, or nothing could be written.
    Timeout,
    /// The side that ends the link has failed.
    Internal,
    /// A reason that this version does not know.
    Other(u16),
}

impl GoAwayReason {
    /// All reasons with names.
    #[cfg(test)]
    pub(super) const NAMED: [Self; 16] = [
        Self::Shutdown,
        Self::Idle,
        Self::Replaced,
        Self::Crowded,
        Self::Untrusted,
        Self::Version,
        Self::Feature,
        Self::Namespace,
        Self::Incarnation,
        Self::Protocol,
        Self::FrameSize,
        Self::Reference,
        Self::FlowControl,
        Self::Flood,
        Self::Timeout,
        Self::Internal,
    ];

    pub(super) const fn number(self) -> u16 {
        match self {
            Self::Shutdown => 0,
            Self::Idle => 1,
            Self::Replaced => 2,
            Self::Crowded => 3,
            Self::Untrusted => 4,
            Self::Version => 16,
            Self::Feature => 17,
            Self::Namespace => 18,
            Self::Incarnation => 19,
            Self::Protocol => 32,
            Self::FrameSize => 33,
            Self::Reference => 34,
            Self::FlowControl => 35,
            Self::Flood => 36,
            Self::Timeout => 37,
            Self::Internal => 38,
            Self::Other(number) => number,
        }
    }

    pub(super) const fn of_number(number: u16) -> Self {
        match number {
            0 => Self::Shutdown,
            1 => Self::Idle,
            2 => Self::Replaced,
            3 => Self::Crowded,
            4 => Self::Untrusted,
            16 => Self::Version,
            17 => Self::Feature,
            18 => Self::Namespace,
            19 => Self::Incarnation,
            32 => Self::Protocol,
            33 => Self::FrameSize,
            34 => Self::Reference,
            35 => Self::FlowControl,
            36 => Self::Flood,
            37 => Self::Timeout,
            38 => Self::Internal,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for GoAwayReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shutdown => "it shuts down",
            Self::Idle => "the link was idle",
            Self::Replaced => "a newer link replaces it",
            Self::Crowded => "it has no room for the connection",
            Self::Untrusted => "the certificate is not trusted any more",
            Self::Version => "no common version",
            Self::Feature => "a required feature is missing",
            Self::Namespace => "another namespace",
            Self::Incarnation => "another process",
            Self::Protocol => "a protocol error",
            Self::FrameSize => "a frame is too large",
            Self::Reference => "an interned text is not known",
            Self::FlowControl => "more was sent than there was credit for",
            Self::Flood => "too many frames that carry nothing forward",
            Self::Timeout => "something did not come in time",
            Self::Internal => "an internal error",
            Self::Other(number) => return write!(f, "reason {number}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_number_of_its_own() {
        for reason in GoAwayReason::NAMED {
            assert_eq!(GoAwayReason::of_number(reason.number()), reason);
        }
        assert_eq!(GoAwayReason::of_number(999), GoAwayReason::Other(999));
    }
}
