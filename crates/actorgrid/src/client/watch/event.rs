//! The changes that a watch reports.

use super::resume::ViewEvent;
use crate::registry::Registration;

/// A change of who is registered.
#[doc(alias = "QueryEvent")]
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WatchEvent {
    /// There is a new holder of a name.
    Appeared(Registration),
    /// The same holder has registered other data: these.
    Changed(Registration),
    /// The holder is gone: its registration as it was last, its peer included.
    Disappeared(Registration),
    /// Changes may have been skipped: holders that came and went meanwhile are not reported. The
    /// events that follow are exactly the difference between the earlier ones and what is
    /// registered now, so a view of the grid comes out right; a count of changes may be too low.
    ///
    /// The reader was too slow and the history that it had still to read was compacted, or the
    /// registry was away for more than about half a second. A break that is healed sooner is
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
