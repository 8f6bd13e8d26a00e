//! Whether a peer serves at the moment.

use std::sync::Arc;

use tokio::sync::watch;

/// The admission of a peer, as it changes. While the peer serves, this is asked before each answer.
pub(crate) type Serving = watch::Receiver<Option<Arc<dyn Admission>>>;

/// Decides at each moment whether requests are admitted. It can stop admitting them before anything
/// has noticed the reason.
pub(crate) trait Admission: Send + Sync + 'static {
    /// Whether requests are admitted at the moment. Does not block.
    fn admits(&self) -> bool;
}
