//! The abilities of the program at the other end.

/// The abilities of a peer or a client, as far as its registration or its requests show them. Peers
/// of the Go library can do less than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities {
    frequent_probes: bool,
    messages_without_envelope: bool,
}

impl Capabilities {
    /// Peers and clients of this library.
    pub(crate) const ACTORGRID: Self = Self {
        frequent_probes: true,
        messages_without_envelope: true,
    };

    /// Peers and clients of the Go library.
    pub(crate) const GO: Self = Self {
        frequent_probes: false,
        messages_without_envelope: false,
    };

    /// Those of a peer or a client that is known to be one of ours, or not.
    pub(crate) const fn of(ours: bool) -> Self {
        if ours { Self::ACTORGRID } else { Self::GO }
    }

    /// Whether they are those of a peer or a client of this library: the inverse of
    /// [`of`](Self::of).
    ///
    /// One flag holds them in the serialized form of a registration, as there are two sets. With a
    /// third one this is no inverse any more: then that form needs a field for it, or the third
    /// set comes back as one of these two.
    #[cfg(feature = "serde")]
    pub(crate) const fn is_actorgrid(self) -> bool {
        matches!(self, Self::ACTORGRID)
    }

    /// Whether connections to it may be probed every few seconds, and while no call is under way.
    /// The Go library ends a connection on which it is probed more often than every five minutes.
    pub(crate) const fn bear_frequent_probes(self) -> bool {
        self.frequent_probes
    }

    /// Whether its limits count the message alone. The Go library counts the envelope too.
    pub(crate) const fn count_messages_without_envelope(self) -> bool {
        self.messages_without_envelope
    }
}

#[cfg(test)]
mod tests {
    use super::Capabilities;

    #[test]
    fn one_flag_holds_both_sets() {
        for set in [Capabilities::ACTORGRID, Capabilities::GO] {
            assert_eq!(Capabilities::of(set.is_actorgrid()), set);
        }
    }
}
