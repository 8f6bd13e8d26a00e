//! Health: whether a peer serves, now and as it changes.

mod check;
mod health;
#[cfg(test)]
mod tests;
mod watch;
mod watcher;

pub use health::Health;
pub use watch::HealthWatch;
