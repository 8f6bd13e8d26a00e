//! Several etcd processes that form a cluster.

use crate::etcd::Etcd;

/// An etcd cluster on the loopback.
#[derive(Debug)]
pub struct EtcdCluster {
    members: Vec<Etcd>,
}

impl EtcdCluster {
    /// Starts `size` members and waits until each answers.
    ///
    /// # Panics
    ///
    /// Panics as [`Etcd::start`] does.
    #[must_use]
    #[track_caller]
    pub fn start(size: usize) -> Self {
        Self {
            members: Etcd::start_members(size, &[]),
        }
    }

    /// Returns the URL that lists all members.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self
            .members
            .iter()
            .map(|m| m.address().to_string())
            .collect();
        format!("etcd://{}", addresses.join(","))
    }

    /// Returns its members, in the order of the URL.
    #[must_use]
    pub fn members(&self) -> &[Etcd] {
        &self.members
    }

    /// Returns its members mutably, to kill, pause and restart them.
    #[must_use]
    pub fn members_mut(&mut self) -> &mut [Etcd] {
        &mut self.members
    }
}
