//! The deadlines of calls, which the task of their link looks at: a timer for each costs more.

use super::calling_state::CallingState;
use super::pending_call::{CallStage, LinkOutcome, PendingCall};
use crate::environment::Deadline;
use crate::error::Executed;
use crate::route::slab::SlabKey;

impl CallingState {
    /// A call with this deadline has come.
    pub(super) fn note_deadline(&mut self, deadline: Deadline) {
        self.earliest = Some(self.earliest.map_or(deadline, |least| least.min(deadline)));
    }

    /// Whether this deadline passes before the link's task looks at deadlines.
    pub(super) fn is_sweep_due_before(&self, deadline: Deadline) -> bool {
        self.sweep_at.is_some_and(|sweep_at| deadline < sweep_at)
    }

    /// Ends the calls whose deadlines have passed. Returns the deadline that passes next, and what
    /// is to be woken and dropped without the lock.
    pub(super) fn expire(&mut self, now: Deadline) -> (Option<Deadline>, Vec<PendingCall>) {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return (self.earliest, Vec::new());
        }
        let mut expired = Vec::new();
        self.earliest = None;
        for (key, call) in self.calls.iter_mut() {
            if matches!(call.stage, CallStage::Done(_)) {
                continue;
            }
            if call.deadline <= now {
                expired.push(key);
            } else if self.earliest.is_none_or(|least| call.deadline < least) {
                self.earliest = Some(call.deadline);
            }
        }
        let expired = expired.into_iter();
        let left = expired.filter_map(|key| self.expire_call(key)).collect();
        (self.earliest, left)
    }

    fn expire_call(&mut self, key: SlabKey) -> Option<PendingCall> {
        let executed = Executed::No;
        let call = self.calls.get_mut(key)?;
        let mut old = call.end(LinkOutcome::Overdue { executed });
        if matches!(old.stage, CallStage::Waiting) {
            self.order.remove(key, &old.receiver);
            self.waiting = self.waiting.saturating_sub(1);
            return Some(old);
        }
        let executed = self.give_up(&mut old);
        let call = self.calls.get_mut(key)?;
        call.stage = CallStage::Done(LinkOutcome::Overdue { executed });
        Some(old)
    }
}
