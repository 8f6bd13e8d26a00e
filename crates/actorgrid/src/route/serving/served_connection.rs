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
pub(in crate::route) struct ServedConnection {
    pub(in crate::route) environment: Environment,
    pub(in crate::route) tasks: Tasks,
    pub(in crate::route) counters: Arc<ServingCounters>,
    pub(in crate::route) activity: Arc<ConnectionActivity>,
    pub(in crate::route) control: ControlBudget,
    /// The busy connections of the peer.
    pub(in crate::route) busy: BusyConnections,
    pub(in crate::route) caller: Caller,
    /// Its share of the memory for received messages.
    pub(in crate::route) received: ConnectionBudget,
    /// Its share of the memory for requests in flight, apart from their messages.
    pub(in crate::route) under_way: ConnectionBudget,
    /// Its share of the memory for replies.
    pub(in crate::route) replies: ConnectionBudget,
    pub(in crate::route) max_streams: u32,
}
