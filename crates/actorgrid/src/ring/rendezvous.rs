//! Members that come and go by name, by rendezvous hashing.

use std::num::NonZeroU32;

use super::score::{Score, hash};
use crate::name::Name;

/// Members that come and go, and the rule that decides which of them a key belongs to: the member
/// whose name, hashed together with the key, has the best score (rendezvous hashing).
///
/// - Each member has its share of the keys: an equal one, or one in proportion to its weight.
/// - A change moves only the keys that it must. A new member takes its share, a little from each of
///   the others; the keys of a removed member go to all the others; a changed weight moves keys
///   only to that member, or only from it.
/// - Each key has its own order of all members. Keep copies at the [first few](Self::first_by_str):
///   if the first is removed, the second becomes the first.
///
/// # A promise
///
/// The member of a key depends only on the key and on the members' names and weights: not on the
/// order in which they were inserted, the process, the platform or the version of this library. It
/// never changes, so stored data may rely on it.
///
/// The algorithm: the key and the member's name are hashed with XXH3 (64 bits, no seed), and the
/// exclusive or of the two hashes goes through the finalizer of SplitMix64. With equal weights the
/// greatest result wins. Otherwise let `u` be the result plus one, divided by 2^64: the member's
/// score is `-log2(u) / weight`, and the least score wins. The logarithm has 40 binary digits after
/// the point and is rounded up. Of equal scores the greater result wins, of equal results the
/// lesser name.
///
/// # Cost
///
/// A lookup hashes the key once and then takes one or two nanoseconds per member, or ten if weights
/// differ; it does not allocate. Looking up the first few takes longer: a tenth of a microsecond
/// per member if weights differ. With many thousands of members, cache the results.
///
/// A change takes time in proportion to the number of members: make many changes at once.
///
/// ```
/// use actorgrid::{Name, Rendezvous};
///
/// let mut workers: Rendezvous = ["worker-0", "worker-1", "worker-2"]
///     .into_iter()
///     .map(Name::new)
///     .collect::<Result<_, _>>()?;
/// let home = workers.by_str("key-7").cloned();
/// let copies: Vec<_> = workers.first_by_str("key-7", 2).into_iter().cloned().collect();
/// assert_eq!(copies.first(), home.as_ref());
///
/// workers.remove(copies[0].as_str());
/// assert_eq!(workers.by_str("key-7"), Some(&copies[1]));
/// # Ok::<(), actorgrid::NameError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Rendezvous {
    /// Sorted by name.
    members: Vec<Member>,
    /// Whether weights differ.
    weighted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Member {
    name: Name,
    hash: u64,
    weight: NonZeroU32,
}

impl Member {
    fn new(name: Name, weight: NonZeroU32) -> Self {
        Self {
            hash: hash(name.as_str().as_bytes()),
            name,
            weight,
        }
    }
}

impl Rendezvous {
    /// Creates a set without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member of weight 1, or sets an existing member's weight to 1. Returns its previous
    /// weight, if any.
    pub fn insert(&mut self, name: Name) -> Option<NonZeroU32> {
        self.insert_weighted(name, NonZeroU32::MIN)
    }

    /// Adds a member of this weight, or sets an existing member's weight. Returns its previous
    /// weight, if any.
    ///
    /// Only the ratios of weights count: 2 and 4 are the same as 1 and 2.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// # use actorgrid::{Name, Rendezvous};
    ///
    /// let mut workers = Rendezvous::new();
    /// workers.insert(Name::new("small")?);
    /// // Gets three of four keys.
    /// workers.insert_weighted(Name::new("large")?, const { NonZeroU32::new(3).unwrap() });
    /// # Ok::<(), actorgrid::NameError>(())
    /// ```
    pub fn insert_weighted(&mut self, name: Name, weight: NonZeroU32) -> Option<NonZeroU32> {
        let before = match self.position(name.as_str()) {
            Ok(at) => Some(std::mem::replace(&mut self.members[at].weight, weight)),
            Err(at) => {
                self.members.insert(at, Member::new(name, weight));
                None
            }
        };
        self.compare_weights();
        before
    }

    /// Removes a member. Returns its weight, if it was a member.
    pub fn remove(&mut self, name: &str) -> Option<NonZeroU32> {
        let at = self.position(name).ok()?;
        let removed = self.members.remove(at);
        self.compare_weights();
        Some(removed.weight)
    }

    /// Returns the number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns the weight of a member; `None` if it is not a member.
    #[must_use]
    pub fn weight(&self, name: &str) -> Option<NonZeroU32> {
        let at = self.position(name).ok()?;
        Some(self.members[at].weight)
    }

    /// Returns the members and their weights, in the order of their names.
    pub fn members(
        &self,
    ) -> impl DoubleEndedIterator<Item = (&Name, NonZeroU32)> + ExactSizeIterator {
        self.members
            .iter()
            .map(|member| (&member.name, member.weight))
    }

    /// Returns the member for a text; `None` if there are no members.
    #[must_use]
    pub fn by_str(&self, key: &str) -> Option<&Name> {
        self.by_bytes(key.as_bytes())
    }

    /// Returns the member for some bytes; `None` if there are no members. A text and its bytes
    /// belong to the same member.
    #[must_use]
    pub fn by_bytes(&self, key: &[u8]) -> Option<&Name> {
        self.best(hash(key))
    }

    /// Returns the member for a number; `None` if there are no members. A number belongs to the
    /// same member as its eight little-endian bytes.
    #[must_use]
    pub fn by_u64(&self, key: u64) -> Option<&Name> {
        self.by_bytes(&key.to_le_bytes())
    }

    /// Returns the `count` best members for a text, the best one first; all of them if there are
    /// fewer. Each appears once.
    ///
    /// This allocates room for all members.
    #[must_use]
    pub fn first_by_str(&self, key: &str, count: usize) -> Vec<&Name> {
        self.first_by_bytes(key.as_bytes(), count)
    }

    /// Like [`first_by_str`](Self::first_by_str), for some bytes.
    #[must_use]
    pub fn first_by_bytes(&self, key: &[u8], count: usize) -> Vec<&Name> {
        self.first(hash(key), count)
    }

    /// Like [`first_by_str`](Self::first_by_str), for a number.
    #[must_use]
    pub fn first_by_u64(&self, key: u64, count: usize) -> Vec<&Name> {
        self.first_by_bytes(&key.to_le_bytes(), count)
    }

    fn best(&self, key: u64) -> Option<&Name> {
        let mut members = self.members.iter();
        let mut best = members.next()?;
        let mut score = self.score(key, best);
        // Of equal members the first one wins, which has the lesser name.
        for member in members {
            let better = match self.weighted {
                true => Score::better(&score, key, member.hash, member.weight),
                false => Some(self.score(key, member)).filter(|new| new.cmp(&score).is_lt()),
            };
            if let Some(better) = better {
                (best, score) = (member, better);
            }
        }
        Some(&best.name)
    }

    fn first(&self, key: u64, count: usize) -> Vec<&Name> {
        let members = self.members.iter();
        let mut scored: Vec<_> = members
            .map(|member| (self.score(key, member), member))
            .collect();
        let order = |(score, member): &(Score, &Member), (other, its): &(Score, &Member)| {
            score.cmp(other).then_with(|| member.name.cmp(&its.name))
        };
        if count < scored.len() {
            scored.select_nth_unstable_by(count, order);
            scored.truncate(count);
        }
        scored.sort_unstable_by(order);
        scored.iter().map(|(_, member)| &member.name).collect()
    }

    fn score(&self, key: u64, member: &Member) -> Score {
        match self.weighted {
            true => Score::new(key, member.hash, member.weight),
            false => Score::even(key, member.hash),
        }
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.members
            .binary_search_by(|member| member.name.as_str().cmp(name))
    }

    fn compare_weights(&mut self) {
        let mut weights = self.members.iter().map(|member| member.weight);
        let first = weights.next();
        self.weighted = weights.any(|weight| Some(weight) != first);
    }
}

impl Extend<(Name, NonZeroU32)> for Rendezvous {
    /// Adds members, like [`insert_weighted`](Self::insert_weighted) one by one.
    fn extend<T: IntoIterator<Item = (Name, NonZeroU32)>>(&mut self, members: T) {
        let members = members.into_iter();
        let added: Vec<_> = members
            .map(|(name, weight)| Member::new(name, weight))
            .collect();
        self.members.extend(added);
        // Of several members with one name the last wins: it comes first here, and the sort is
        // stable.
        self.members.reverse();
        self.members.sort_by(|one, other| one.name.cmp(&other.name));
        self.members.dedup_by(|next, kept| next.name == kept.name);
        self.compare_weights();
    }
}

impl Extend<Name> for Rendezvous {
    /// Adds members of weight 1, like [`insert`](Self::insert) one by one.
    fn extend<T: IntoIterator<Item = Name>>(&mut self, names: T) {
        let names = names.into_iter();
        self.extend(names.map(|name| (name, NonZeroU32::MIN)));
    }
}

impl FromIterator<(Name, NonZeroU32)> for Rendezvous {
    fn from_iter<T: IntoIterator<Item = (Name, NonZeroU32)>>(members: T) -> Self {
        let mut rendezvous = Self::new();
        rendezvous.extend(members);
        rendezvous
    }
}

impl FromIterator<Name> for Rendezvous {
    fn from_iter<T: IntoIterator<Item = Name>>(names: T) -> Self {
        let mut rendezvous = Self::new();
        rendezvous.extend(names);
        rendezvous
    }
}

#[cfg(test)]
mod tests;
