//! The versions of the protocol that this library speaks.

use super::hello::LinkVersions;
use crate::registry::{Incarnation, LinkAnnouncement};

/// The versions of the link that this library speaks.
pub(crate) const LINK_VERSIONS: LinkVersions = LinkVersions {
    oldest: 1,
    newest: 1,
};

/// Returns the announcement in the registrations of a process of this incarnation.
pub(crate) const fn announced_link(incarnation: Incarnation) -> LinkAnnouncement {
    LinkAnnouncement {
        oldest: LINK_VERSIONS.oldest,
        newest: LINK_VERSIONS.newest,
        incarnation,
    }
}
