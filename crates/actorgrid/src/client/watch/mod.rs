//! Watches: the registrations of one kind, each later change, and how a watch survives failures.

mod driver;
mod event;
mod pause;
mod resume;
mod watch;

pub use event::WatchEvent;
pub(in crate::client) use pause::WATCH_PAUSE;
pub use watch::Watch;
