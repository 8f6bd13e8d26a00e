//! Updates that watches report.

use super::change::Change;
use crate::revision::Revision;

/// An update from a watch: see [`Backend::watch`](super::Backend::watch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WatchUpdate {
    /// Changes of whole revisions, in order; at least one.
    Changes(Vec<Change>),
    /// Every change up to this revision has been reported: a later watch may resume after it, even
    /// if the history up to it is compacted by then.
    CompleteTo(Revision),
}
