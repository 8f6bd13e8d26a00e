//! A session of a peer in the registry: its leases and their keeper, its fence, and its claims.
//!
//! A session begins with one transaction, renews its leases, claims and releases names, and ends
//! once: by being fenced or left. A session that has ended is never resumed; the peer rejoins with
//! a new one.
//!
//! - [`session`] owns everything below; [`joiner`] begins it and [`lease_end`] ends it, for an
//!   [`identity`] and by the [`terms`] of the peer.
//! - [`upkeep`] runs on a dedicated thread and runtime, with dedicated connections to the registry:
//!   [`keeper`] decides when to renew (each lease in its [`renewal_phase`]) and when the session is
//!   over, and [`keeper_driver`] carries that out; [`own_keys`] notices when a key of the session
//!   is lost. [`lease_supply`] grants further leases; [`session_leases`] are all that the end of
//!   the session has to end.
//! - [`pulse`] shows the keeper that the user's runtime runs, and that no task of the session has
//!   died; [`longest_stall`] records the stalls for the statistics.
//! - [`fence`] holds the deadlines that everything under the session checks. The environment's
//!   watchdog compares them with the clock, on a thread that does nothing else.
//! - [`names`] accepts claims and returns a [`held_claim`] for each one that is won.
//!   [`claim_scheduler`] decides which claims and releases to send and what the replies mean, by
//!   [`claim_rules`], and [`lease_pool`] decides which [`claim_lease`] takes the names of a claim
//!   (by its [`claim_place`]) and when another lease is needed: [`claim_event`] in,
//!   [`claim_command`] out. [`claim_driver`] is its task, which carries out exchanges under the
//!   [`epoch`] of each lease.

mod claim_command;
mod claim_driver;
mod claim_error;
mod claim_event;
mod claim_exchange;
mod claim_lease;
mod claim_place;
mod claim_rules;
mod claim_scheduler;
mod claimed_names;
mod epoch;
mod fence;
mod fence_reason;
mod held_claim;
mod identity;
mod join_error;
mod joiner;
mod keeper;
mod keeper_driver;
mod lease_end;
mod lease_pool;
mod lease_supply;
mod longest_stall;
mod names;
mod on_free;
mod own_keys;
mod pulse;
mod renewal_phase;
mod session;
mod session_leases;
mod terms;
mod upkeep;

pub(crate) use claim_error::ClaimError;
pub(crate) use claim_place::ClaimPlace;
pub(crate) use fence::Fence;
pub use fence_reason::FenceReason;
pub(crate) use held_claim::HeldClaim;
pub(crate) use identity::Identity;
pub(crate) use join_error::JoinError;
pub(crate) use longest_stall::LongestStall;
pub(crate) use names::Names;
pub(crate) use session::Session;
pub(crate) use terms::{NAMES_PER_LEASE, SessionTerms};
