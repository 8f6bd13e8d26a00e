//! The calls of etcd's API as functions from a state and a request to a reply. Pure.

mod compact;
mod compare;
mod delete_range;
mod lease;
mod put;
mod range;
mod server;
mod size;
#[cfg(test)]
mod tests;
mod txn;
mod txn_check;

pub(crate) use compact::compact;
pub(crate) use delete_range::delete_range;
pub(crate) use lease::{grant, keep_alive, leases, revoke, time_to_live};
pub(crate) use put::put;
pub(crate) use range::range;
pub(crate) use server::{alarm, authenticate, member_list, status};
pub(crate) use txn::txn;
