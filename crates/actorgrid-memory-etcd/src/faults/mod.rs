//! Faults that a test can switch on.

mod call_fault;
mod call_kind;
mod conditions;
mod fault_state;

pub use call_fault::CallFault;
pub use call_kind::CallKind;
pub(crate) use conditions::Conditions;
pub(crate) use fault_state::FaultState;
