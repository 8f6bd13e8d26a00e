//! An accepted connection, as shared by everything that serves it.

use std::sync::Arc;

use super::busy_connections::BusyConnections;
use super::connection_activity::ConnectionActivity;
use super::control_budget::ControlBudget;
use super::counters::ServingCounters;
use crate::environment::Environment;
use crate::route::budget::ConnectionBudget;
use crate::route::caller::Caller;
use crate::route::tasks::Tasks;

/// The state of an accepted connection that its driver and all its streams share.
pub(super) struct ServedConnection {
    pub(super) environment: Environment,
    pub(super) tasks: Tasks,
    pub(super) counters: Arc<ServingCounters>,
    pub(super) activity: Arc<ConnectionActivity>,
    pub(super) control: ControlBudget,
    /// The busy connections of the peer.
    pub(super) busy: BusyConnections,
    pub(super) caller: Caller,
    /// Its share of the memory for received messages.
    pub(super) received: ConnectionBudget,
    /// Its share of the memory for requests in flight, apart from their messages.
    pub(super) under_way: ConnectionBudget,
    /// Its share of the memory for replies.
    pub(super) replies: ConnectionBudget,
    pub(super) max_streams: u32,
}
