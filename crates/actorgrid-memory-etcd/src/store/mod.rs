//! The contents of a server: keys with their versions, leases, and the log of changes.

mod change_log;
mod key_range;
mod key_versions;
mod lease_table;
mod store;

pub(crate) use change_log::{is_creation, revision_of};
pub(crate) use key_range::KeyRange;
pub(crate) use key_versions::RECORD_BYTES;
pub(crate) use store::{Store, Write};
