//! One life of a peer in the registry.

mod fence;

pub(crate) use fence::Fence;
pub use fence::FenceReason;
