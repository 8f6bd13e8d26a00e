//! Whether a peer serves at this moment.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether a peer serves, as it changes: while it does, this is asked before each answer.
pub(crate) type Serving = watch::Receiver<Option<Arc<dyn Admission>>>;

/// Decides at each moment whether requests are admitted. It can say no before anybody has noticed
/// why.
pub(crate) trait Admission: Send + Sync + 'static {
    /// Whether requests are admitted at this moment. Does not block.
    fn admits(&self) -> bool;
}
