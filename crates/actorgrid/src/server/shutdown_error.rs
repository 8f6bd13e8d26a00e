//! The error of a shutdown that left something undone.

use std::fmt;

use crate::name::Name;

/// A shutdown did not end everything within its bound. The server has stopped all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownError {
    /// Actors that did not end, though aborted: their code, or a task that they have
    /// [spawned](crate::ActorContext::spawn), never awaits. Their names stay registered until the
    /// lease runs out. Among them are actors that have not started, as the
    /// function given to [`ActorType::mailbox_with`](crate::ActorType::mailbox_with) does not
    /// return.
    pub stuck: Vec<Name>,
    /// Whether the registry did not confirm that the session's keys are deleted: they run out with
    /// their lease.
    pub not_revoked: bool,
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server stopped, but")?;
        if !self.stuck.is_empty() {
            write!(f, " actors did not end:")?;
            for name in &self.stuck {
                write!(f, " {name}")?;
            }
        }
        if self.not_revoked {
            if !self.stuck.is_empty() {
                f.write_str(", and")?;
            }
            f.write_str(" its registrations stay until their lease runs out")?;
        }
        Ok(())
    }
}

impl std::error::Error for ShutdownError {}
