//! Watches: which messages a stream of watches sends. Pure.

mod fragments;
mod one_watch;
#[cfg(test)]
mod tests;
mod watch_session;

pub(crate) use watch_session::WatchSession;
