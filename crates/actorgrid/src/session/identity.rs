//! The identity of a peer.

use std::sync::Arc;

use crate::address::Address;
use crate::name::{Name, Namespace};

/// Identifies a peer throughout all its sessions.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) namespace: Namespace,
    pub(crate) address: Address,
    pub(crate) annotations: Arc<[String]>,
}

impl Identity {
    pub(crate) fn peer(&self) -> &Name {
        self.address.peer_name()
    }
}
