//! The handles that users hold.

mod builder;
mod faults;
mod memory_etcd;
mod snapshot;

pub use builder::MemoryEtcdBuilder;
pub use faults::Faults;
pub use memory_etcd::MemoryEtcd;
pub use snapshot::EtcdSnapshot;
