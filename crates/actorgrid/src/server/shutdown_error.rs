//! The error of a shutdown that left something undone.

use std::fmt;

use crate::name::Name;

/// The error of a shutdown that did not end everything in time. The server has stopped
/// nevertheless.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownError {
    /// Actors that did not end although they were aborted: their code, or a task that they have
    /// [spawned](crate::ActorContext::spawn), never awaits. Their names stay registered until the
    /// leases expire. The list includes actors that have not started because the function given to
    /// [`ActorType::mailbox_with`](crate::ActorType::mailbox_with) does not return.
    pub stuck: Vec<Name>,
    /// Whether the registry did not confirm that the session's keys are deleted. They then expire
    /// with their leases.
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
            f.write_str(" its registrations stay until their leases expire")?;
        }
        Ok(())
    }
}

impl std::error::Error for ShutdownError {}
