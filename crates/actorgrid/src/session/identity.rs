//! The identity of a peer.

use std::sync::Arc;

use crate::address::Address;
use crate::name::{Name, Namespace};
use crate::registry::LinkAnnouncement;

/// Identifies a peer throughout all its sessions.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) namespace: Namespace,
    pub(crate) address: Address,
    pub(crate) annotations: Arc<[String]>,
    /// The link of its process, if it has one.
    pub(crate) link: Option<LinkAnnouncement>,
}

impl Identity {
    pub(crate) fn peer(&self) -> &Name {
        self.address.peer_name()
    }
}
