//! Watches: who is registered, each change from then on, and how that survives failures.

mod driver;
mod event;
mod pause;
mod resume;
mod watch;

pub use event::WatchEvent;
pub(in crate::client) use pause::WATCH_PAUSE;
pub use watch::Watch;
