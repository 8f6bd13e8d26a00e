//! The changes that a watch reports.

use super::resume::ViewEvent;
use crate::registry::Registration;

/// A change of the registrations that a watch reports.
#[doc(alias = "QueryEvent")]
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WatchEvent {
    /// A name has a new holder.
    Appeared(Registration),
    /// The same holder has registered new data, given here.
    Changed(Registration),
    /// The holder is gone. Carries its last registration, including its peer.
    Disappeared(Registration),
    /// Changes may have been skipped: holders that came and went meanwhile are not reported. The
    /// events that follow are exactly the difference between the earlier events and the current
    /// registrations, so a view of the grid ends up correct; a count of changes may be too low.
    ///
    /// Reported if the reader was too slow and the history that it had yet to read was compacted,
    /// or if the registry was unavailable for more than about half a second. A shorter break is
    /// bridged without a loss, and not reported.
    HistoryLost,
}

impl From<ViewEvent<Registration>> for WatchEvent {
    fn from(event: ViewEvent<Registration>) -> Self {
        match event {
            ViewEvent::HistoryLost => Self::HistoryLost,
            ViewEvent::Appeared(registration) => Self::Appeared(registration),
            ViewEvent::Changed(registration) => Self::Changed(registration),
            ViewEvent::Disappeared(registration) => Self::Disappeared(registration),
        }
    }
}
