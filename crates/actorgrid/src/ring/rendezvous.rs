//! Members that come and go by name, by rendezvous hashing.

use std::num::NonZeroU32;

use super::score::{Score, hash};
use crate::name::Name;

/// Members that come and go, and the rule that says which of them a key belongs to: the one whose
/// name, hashed together with the key, scores highest (rendezvous hashing).
///
/// - Each member has its share of the keys: an even one, or one in proportion to its weight.
/// - A change moves only the keys that it must. A new member takes its share, a little from each of
///   the others; the keys of a removed one go to all the others; a changed weight moves keys only to
///   that member, or only from it.
/// - Each key has all members in an order of its own. The [first few](Self::first_by_str) are where
///   to keep copies: when the first is removed, the second is the first.
///
/// # A promise
///
/// Where a key belongs is a function of the key and of the members' names and weights alone: not
/// of the order in which they were inserted, of the process, of the platform or of the version of
/// this library. It never changes, so it may be relied on by what is stored.
///
/// It is: the hash of a key and of a name is that of XXH3 (64 bits, no seed) of its bytes; their
/// exclusive or goes through the finalizer of SplitMix64; with equal weights the greatest number
/// wins. With others `u`, that number plus one divided by 2^64, is scored by `-log2(u) / weight`, and
/// the least score wins. The logarithm has 40 binary digits behind the point and is rounded up.
/// Between equal scores the greater number wins, between equal numbers the lesser name.
///
/// # Cost
///
/// A lookup hashes the key once and then takes one or two nanoseconds for each member, or ten where
/// weights differ; it allocates nothing. The first few take more: a tenth of a microsecond
/// for each member where weights differ. With many thousands of members remember what was found.
///
/// Changes cost time in proportion to the members: collect many at once.
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
    /// In the order of their names.
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
    /// None at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member of weight 1, or makes that the weight of one that is there. What its weight
    /// was before is returned.
    pub fn insert(&mut self, name: Name) -> Option<NonZeroU32> {
        self.insert_weighted(name, NonZeroU32::MIN)
    }

    /// Adds a member of this weight, or makes that the weight of one that is there. What its weight
    /// was before is returned.
    ///
    /// Weights count in proportion to each other: 2 and 4 are as 1 and 2.
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

    /// Removes a member; its weight is returned if it was there.
    pub fn remove(&mut self, name: &str) -> Option<NonZeroU32> {
        let at = self.position(name).ok()?;
        let removed = self.members.remove(at);
        self.compare_weights();
        Some(removed.weight)
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The weight of a member, if it is there.
    #[must_use]
    pub fn weight(&self, name: &str) -> Option<NonZeroU32> {
        let at = self.position(name).ok()?;
        Some(self.members[at].weight)
    }

    /// The members and their weights, in the order of their names.
    pub fn members(
        &self,
    ) -> impl DoubleEndedIterator<Item = (&Name, NonZeroU32)> + ExactSizeIterator {
        self.members
            .iter()
            .map(|member| (&member.name, member.weight))
    }

    /// The member for a text; `None` where there are no members.
    #[must_use]
    pub fn by_str(&self, key: &str) -> Option<&Name> {
        self.by_bytes(key.as_bytes())
    }

    /// The member for some bytes; `None` where there are no members. A text and its bytes belong
    /// to one member.
    #[must_use]
    pub fn by_bytes(&self, key: &[u8]) -> Option<&Name> {
        self.best(hash(key))
    }

    /// The member for a number; `None` where there are no members. It is that of the number's eight
    /// bytes, the lowest first.
    #[must_use]
    pub fn by_u64(&self, key: u64) -> Option<&Name> {
        self.by_bytes(&key.to_le_bytes())
    }

    /// The `count` best members for a text, the best one first; fewer where there are fewer. All
    /// are different.
    ///
    /// It allocates room for all members.
    #[must_use]
    pub fn first_by_str(&self, key: &str, count: usize) -> Vec<&Name> {
        self.first_by_bytes(key.as_bytes(), count)
    }

    /// As [`first_by_str`](Self::first_by_str), for some bytes.
    #[must_use]
    pub fn first_by_bytes(&self, key: &[u8], count: usize) -> Vec<&Name> {
        self.first(hash(key), count)
    }

    /// As [`first_by_str`](Self::first_by_str), for a number.
    #[must_use]
    pub fn first_by_u64(&self, key: u64, count: usize) -> Vec<&Name> {
        self.first_by_bytes(&key.to_le_bytes(), count)
    }

    fn best(&self, key: u64) -> Option<&Name> {
        let mut members = self.members.iter();
        let mut best = members.next()?;
        let mut score = self.score(key, best);
        // Of equal ones the first stays, which has the lesser name.
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
    /// Adds members, as [`insert_weighted`](Self::insert_weighted) one by one.
    fn extend<T: IntoIterator<Item = (Name, NonZeroU32)>>(&mut self, members: T) {
        let members = members.into_iter();
        let added: Vec<_> = members
            .map(|(name, weight)| Member::new(name, weight))
            .collect();
        self.members.extend(added);
        // Of those with one name the last one stays: it comes first here, and the sort is stable.
        self.members.reverse();
        self.members.sort_by(|one, other| one.name.cmp(&other.name));
        self.members.dedup_by(|next, kept| next.name == kept.name);
        self.compare_weights();
    }
}

impl Extend<Name> for Rendezvous {
    /// Adds members of weight 1, as [`insert`](Self::insert) one by one.
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
