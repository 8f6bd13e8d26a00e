//! One report of a watch.

use super::change::Change;
use crate::revision::Revision;

/// One report of a watch: see [`Backend::watch`](super::Backend::watch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WatchUpdate {
    /// Changes of whole revisions, in their order; at least one.
    Changes(Vec<Change>),
    /// Every change up to this revision has been reported: a later watch may resume behind it,
    /// also when the history up to it is compacted by then.
    CompleteTo(Revision),
}
