//! The life of a peer under one session: serving, and the end of everything that ran.

mod end;
mod life;
mod serve;

pub(super) use end::{ABORT_GRACE, LifeEnd, REVOKE_BOUND};
pub(super) use life::Life;
pub(super) use serve::serve;

#[cfg(test)]
mod tests;
