//! The capabilities of the program at the other end of a connection.

use super::link_announcement::LinkAnnouncement;

/// The capabilities of a peer or a client, inferred from its registration or its requests. Peers of
/// the Go library can do less than peers of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities {
    frequent_probes: bool,
    messages_without_envelope: bool,
    link: Option<LinkAnnouncement>,
}

impl Capabilities {
    /// Peers and clients of this library.
    pub(crate) const ACTORGRID: Self = Self {
        frequent_probes: true,
        messages_without_envelope: true,
        link: None,
    };

    /// Peers and clients of the Go library.
    pub(crate) const GO: Self = Self {
        frequent_probes: false,
        messages_without_envelope: false,
        link: None,
    };

    /// Returns the capabilities of a program that uses this library if `ours`, and of one that uses
    /// the Go library otherwise.
    pub(crate) const fn of(ours: bool) -> Self {
        if ours { Self::ACTORGRID } else { Self::GO }
    }

    /// The same, of a peer that announces this link.
    pub(crate) const fn with_link(self, link: Option<LinkAnnouncement>) -> Self {
        Self { link, ..self }
    }

    /// The link that the peer announces.
    pub(crate) const fn link(self) -> Option<LinkAnnouncement> {
        self.link
    }

    /// Whether these are the capabilities of a peer or a client of this library: the inverse of
    /// [`of`](Self::of).
    ///
    /// A serialized registration stores only this flag and the link, which is enough while there
    /// are only two sets of capabilities beside the link. A third set would need another field, or
    /// it would be deserialized as one of these two.
    #[cfg(feature = "serde")]
    pub(crate) const fn is_actorgrid(self) -> bool {
        self.messages_without_envelope
    }

    /// Whether connections to the program may be probed every few seconds, even while no call is
    /// under way. The Go library closes a connection that is probed more often than every five
    /// minutes.
    pub(crate) const fn bear_frequent_probes(self) -> bool {
        self.frequent_probes
    }

    /// Whether the program's size limits apply to the message alone. In the Go library they also
    /// count the envelope.
    pub(crate) const fn count_messages_without_envelope(self) -> bool {
        self.messages_without_envelope
    }
}

#[cfg(test)]
mod tests {
    use super::Capabilities;

    #[test]
    fn one_flag_distinguishes_both_sets() {
        for set in [Capabilities::ACTORGRID, Capabilities::GO] {
            assert_eq!(Capabilities::of(set.is_actorgrid()), set);
        }
    }
}
