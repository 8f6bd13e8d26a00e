//! The result of a broadcast: the outcome at each member.

use std::fmt;

use super::outcome::Outcome;
use crate::error::RequestError;
use crate::group::Group;
use crate::name::Name;

/// The result of a broadcast: an [`Outcome`] for each member, in the order of the group.
#[derive(Clone)]
#[must_use = "some members may have failed"]
pub struct BroadcastResult<R> {
    members: Group,
    /// One outcome per member, at the same place.
    outcomes: Vec<Outcome<R>>,
    /// The place of the first reply.
    first: Option<usize>,
    fastest: bool,
}

impl<R> BroadcastResult<R> {
    /// Creates a result. There must be an outcome for each member.
    pub(super) fn new(
        members: Group,
        outcomes: Vec<Outcome<R>>,
        first: Option<usize>,
        fastest: bool,
    ) -> Self {
        Self {
            members,
            outcomes,
            first,
            fastest,
        }
    }

    /// Returns the number of members that were asked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// Whether no member was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    /// Returns the outcome of the request to one member; `None` if it was not in the group.
    pub fn get(&self, name: impl AsRef<str>) -> Option<&Outcome<R>> {
        self.outcomes.get(self.members.place(name.as_ref())?)
    }

    /// Returns the members and the outcomes of their requests, in the order of the group.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Name, &Outcome<R>)> {
        self.members.members().iter().zip(&self.outcomes)
    }

    /// Returns the members that replied, in the order of the group.
    pub fn successes(&self) -> impl Iterator<Item = (&Name, &R)> {
        self.iter()
            .filter_map(|(name, outcome)| Some((name, outcome.reply()?)))
    }

    /// Returns the members that failed, in the order of the group. This does not include members
    /// that were only slower than the fastest.
    pub fn failures(&self) -> impl Iterator<Item = (&Name, &RequestError)> {
        self.iter().filter_map(|(name, outcome)| match outcome {
            Outcome::Failed(error) => Some((name, error)),
            _ => None,
        })
    }

    /// Returns the first reply to arrive, and the member that sent it.
    #[must_use]
    pub fn first(&self) -> Option<(&Name, &R)> {
        let place = self.first?;
        let name = self.members.members().get(place)?;
        Some((name, self.outcomes.get(place)?.reply()?))
    }

    /// Returns the first reply to arrive and its member, by value.
    #[must_use]
    pub fn into_first(mut self) -> Option<(Name, R)> {
        let place = self.first.filter(|place| *place < self.outcomes.len())?;
        let name = self.members.members().get(place)?.clone();
        match self.outcomes.swap_remove(place) {
            Outcome::Reply(reply) => Some((name, reply)),
            _ => None,
        }
    }

    /// Whether all members replied; for a [`fastest`](crate::BroadcastBuilder::fastest) broadcast,
    /// whether one did. With an empty group this is true, but false for the fastest.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        if self.fastest {
            self.successes().next().is_some()
        } else {
            self.successes().count() == self.len()
        }
    }

    /// Merges the outcomes of another broadcast into this one; for example, of a repeat to the
    /// members that did not reply. They replace the existing outcomes of the same members; new
    /// members are appended. Whether all replies are required, or one, remains as it was.
    pub fn add(&mut self, other: Self) {
        let others_first = other.first().map(|(name, _)| name.clone());
        for (name, outcome) in other {
            let place = self.members.place_or_add(&name);
            match self.outcomes.get_mut(place) {
                Some(old) => *old = outcome,
                None => self.outcomes.push(outcome),
            }
        }
        if self.first().is_none() {
            self.first = others_first.and_then(|name| self.members.place(name.as_str()));
        }
    }
}

impl<R> IntoIterator for BroadcastResult<R> {
    type Item = (Name, Outcome<R>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        let names = self.members.members().iter().cloned();
        let all: Vec<_> = names.zip(self.outcomes).collect();
        all.into_iter()
    }
}

/// Shows how many members replied and failed; the replies are not shown.
impl<R> fmt::Debug for BroadcastResult<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastResult")
            .field("members", &self.len())
            .field("successes", &self.successes().count())
            .field("failures", &self.failures().count())
            .finish_non_exhaustive()
    }
}

impl Group {
    /// Returns the members that did not reply, for a repeat of the broadcast to them. A member that
    /// failed may have executed the request: see [`Outcome::may_have_executed`].
    pub fn except_successes<R>(&self, results: &BroadcastResult<R>) -> Self {
        let replied = |name: &Name| results.get(name).is_some_and(|o| o.reply().is_some());
        let members = self.members().iter().filter(|name| !replied(name));
        members.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(value: u32) -> Outcome<u32> {
        Outcome::Reply(value)
    }

    fn busy() -> Outcome<u32> {
        Outcome::Failed(RequestError::busy())
    }

    fn slower(may_have_executed: bool) -> Outcome<u32> {
        Outcome::Cancelled { may_have_executed }
    }

    /// Returns a result of members with these names.
    fn result(
        outcomes: &[(&str, Outcome<u32>)],
        first: Option<usize>,
        fastest: bool,
    ) -> BroadcastResult<u32> {
        let members = Group::new(outcomes.iter().map(|(name, _)| *name)).unwrap();
        let outcomes = outcomes.iter().map(|(_, outcome)| outcome.clone());
        BroadcastResult::new(members, outcomes.collect(), first, fastest)
    }

    fn names<'a, T>(found: impl Iterator<Item = (&'a Name, T)>) -> Vec<&'a str> {
        found.map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn each_member_has_its_outcome_in_the_order_of_the_group() {
        let outcomes = [("d", reply(4)), ("c", busy()), ("b", reply(2))];
        let result = result(&outcomes, Some(2), false);
        assert_eq!(names(result.iter()), ["d", "c", "b"]);
        assert_eq!(names(result.successes()), ["d", "b"]);
        assert_eq!(names(result.failures()), ["c"]);
        let first = result.first().unwrap();
        assert_eq!((first.0.as_str(), *first.1), ("b", 2));
        assert_eq!(result.get("d").unwrap().reply(), Some(&4));
        assert!(result.get("a").is_none());
        assert_eq!(
            result.clone().into_first(),
            Some((Name::new("b").unwrap(), 2))
        );
        let all: Vec<_> = result
            .into_iter()
            .map(|(n, o)| (n, o.reply().copied()))
            .collect();
        let values = [("d", Some(4)), ("c", None), ("b", Some(2))];
        assert_eq!(all, values.map(|(n, v)| (Name::new(n).unwrap(), v)));
    }

    #[test]
    fn reports_whether_a_member_may_have_executed() {
        let no_reply = Outcome::Failed(RequestError::no_reply("gone"));
        for (outcome, executed) in [
            (reply(1), true),
            (busy(), false),
            (no_reply, true),
            (slower(true), true),
            (slower(false), false),
        ] {
            assert_eq!(outcome.may_have_executed(), executed, "{outcome:?}");
        }
    }

    #[test]
    fn is_complete_with_all_replies_or_with_the_fastest() {
        for (outcomes, first, all, fastest) in [
            (vec![], None, true, false),
            (vec![("a", reply(1))], Some(0), true, true),
            (vec![("a", reply(1)), ("b", busy())], Some(0), false, true),
            (
                vec![("a", slower(true)), ("b", reply(1))],
                Some(1),
                false,
                true,
            ),
            (vec![("a", busy()), ("b", busy())], None, false, false),
        ] {
            assert_eq!(result(&outcomes, first, false).is_complete(), all);
            assert_eq!(result(&outcomes, first, true).is_complete(), fastest);
        }
    }

    #[test]
    fn a_repeat_completes_a_result() {
        let outcomes = [("a", reply(1)), ("b", busy()), ("c", slower(true))];
        let mut so_far = result(&outcomes, Some(0), false);
        let asked = Group::new(["a", "b", "c", "d"]).unwrap();
        let left = asked.except_successes(&so_far);
        assert_eq!(left, Group::new(["b", "c", "d"]).unwrap());
        let outcomes = [("b", reply(2)), ("c", reply(3)), ("d", reply(4))];
        so_far.add(result(&outcomes, Some(2), false));
        assert!(so_far.is_complete());
        assert_eq!(names(so_far.iter()), ["a", "b", "c", "d"]);
        assert_eq!(so_far.first().unwrap().0.as_str(), "a");
        assert!(asked.except_successes(&so_far).is_empty());
    }

    #[test]
    fn added_outcomes_replace_earlier_ones() {
        let mut so_far = result(&[("a", reply(1)), ("b", busy())], Some(0), true);
        so_far.add(result(&[("c", reply(3)), ("a", busy())], Some(0), false));
        assert_eq!(names(so_far.failures()), ["a", "b"]);
        assert_eq!(so_far.first().unwrap().0.as_str(), "c");
        // Only one reply was required.
        assert!(so_far.is_complete());
        so_far.add(result(&[("c", busy())], None, false));
        assert!(so_far.first().is_none() && !so_far.is_complete());
    }
}
