//! The view that a watch has, and how it resumes after a break. Pure.
//!
//! Invariants: once no changes are pending, the view equals a linearizable list; no event is
//! reported twice and none goes backwards. After a break the watch resumes behind the last revision
//! up to which the view is complete. If the history from there on may be incomplete, everything is
//! listed again and exactly the difference is reported, so that it does not matter which changes
//! were missed.

use std::collections::{BTreeMap, BTreeSet};

use crate::revision::Revision;

/// After this many consecutive failed resumes, fall back to a full listing. That is after at least
/// half a second (see the pauses between watches).
///
/// A registry that was unavailable for that long may be another one when it is back: restored from
/// a snapshot, it has other changes under the same revisions, and once it has made more of them
/// than the view knows, nothing else reveals that. No cluster is stopped, restored and started
/// again in less time.
const MAX_TRIES: u32 = 3;

/// A key with its holder's value, as listed or as put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WatchedEntry<V> {
    pub(super) key: String,
    /// The revision at which the key was created: another one means another holder.
    pub(super) created: Revision,
    /// The revision of its last change.
    pub(super) modified: Revision,
    pub(super) value: V,
}

/// One change of a watched key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WatchedChange<V> {
    Put(WatchedEntry<V>),
    /// Deleted, or put with a value that cannot be decoded: a listing leaves such keys out as well.
    Gone {
        key: String,
        revision: Revision,
    },
}

impl<V> WatchedChange<V> {
    fn revision(&self) -> Revision {
        match self {
            Self::Put(held) => held.modified,
            Self::Gone { revision, .. } => *revision,
        }
    }
}

/// A change of the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ViewEvent<V> {
    /// Changes may have been skipped; the difference follows.
    HistoryLost,
    /// A new holder appeared.
    Appeared(V),
    /// The same holder has put another value, given here.
    Changed(V),
    /// The holder is gone. Carries its last value.
    Disappeared(V),
}

/// The next step of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResumeCommand {
    /// List all keys, by a linearizable read that is sent after this command.
    List,
    /// Watch from this revision on, inclusive.
    WatchFrom(Revision),
}

/// How a watch, or the attempt to open one, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchBreak {
    /// A watch that had lasted, or had reported something, has ended.
    Ended,
    /// The watch was never established, or ended without a report; or a listing failed.
    Failed,
    /// The registry reports that it does not have the requested history: it is compacted, or the
    /// registry is not the previous one.
    NoHistory,
}

#[derive(Debug)]
struct KnownHolder<V> {
    created: Revision,
    value: V,
}

/// The resume machine of one watch. Start with [`ResumeCommand::List`].
#[derive(Debug)]
pub(super) struct WatchResume<V> {
    known: BTreeMap<String, KnownHolder<V>>,
    /// The last revision up to which the view was complete; `None` before the first listing.
    complete: Option<Revision>,
    /// Whether changes come next, rather than a listing.
    watching: bool,
    /// The number of consecutive watches that were never established.
    tries: u32,
}

impl<V: Clone + PartialEq> WatchResume<V> {
    pub(super) const fn new() -> Self {
        Self {
            known: BTreeMap::new(),
            complete: None,
            watching: false,
            tries: 0,
        }
    }

    /// Takes a listing of all keys, and its revision.
    ///
    /// Returns the difference to the view: first the holders that are gone, by key, then the rest
    /// in the order of the listing. If changes may have been skipped, an event that reports so
    /// comes first. A listing that was not requested changes nothing: it may be older than the
    /// view. A listing with a lower revision than before is accepted: a registry that was restored
    /// from a snapshot goes back, and the view goes back with it.
    pub(super) fn listed(
        &mut self,
        listing: Vec<WatchedEntry<V>>,
        revision: Revision,
    ) -> (Vec<ViewEvent<V>>, ResumeCommand) {
        let mut events = Vec::new();
        if let (true, Some(complete)) = (self.watching, self.complete) {
            return (events, watch_after(complete));
        }
        let before = self.complete.replace(revision);
        self.watching = true;
        self.tries = 0;
        let listed: BTreeSet<_> = listing.iter().map(|held| held.key.as_str()).collect();
        self.known.retain(|key, known| {
            let stays = listed.contains(key.as_str());
            if !stays {
                events.push(ViewEvent::Disappeared(known.value.clone()));
            }
            stays
        });
        for held in listing {
            put(&mut self.known, held, &mut events);
        }
        // At an unchanged revision nothing has happened, unless the registry went back.
        if before.is_some_and(|before| before != revision || !events.is_empty()) {
            events.insert(0, ViewEvent::HistoryLost);
        }
        (events, watch_after(revision))
    }

    /// Takes changes in order: those of one whole revision, or of several.
    ///
    /// Drops changes that are already known, and all changes while a listing is required.
    pub(super) fn changed(&mut self, changes: Vec<WatchedChange<V>>) -> Vec<ViewEvent<V>> {
        let mut events = Vec::new();
        let (true, Some(complete)) = (self.watching, &mut self.complete) else {
            return events;
        };
        let before = *complete;
        for change in changes {
            let revision = change.revision();
            // The changes of one revision are adjacent; an older one is late.
            if revision <= before || revision < *complete {
                continue;
            }
            *complete = revision;
            match change {
                WatchedChange::Put(held) => put(&mut self.known, held, &mut events),
                WatchedChange::Gone { key, .. } => {
                    if let Some(known) = self.known.remove(&key) {
                        events.push(ViewEvent::Disappeared(known.value));
                    }
                }
            }
        }
        events
    }

    /// Records that the watch has reported all changes up to this revision, behind which it
    /// resumes.
    pub(super) fn complete_to(&mut self, revision: Revision) {
        if let (true, Some(complete)) = (self.watching, &mut self.complete) {
            *complete = revision.max(*complete);
        }
    }

    /// Records that the watch has ended or could not be opened, or that the listing failed, and
    /// returns the next step.
    pub(super) fn broken(&mut self, why: WatchBreak) -> ResumeCommand {
        match why {
            WatchBreak::Ended => self.tries = 0,
            WatchBreak::Failed => self.tries = self.tries.saturating_add(1),
            WatchBreak::NoHistory => self.watching = false,
        }
        // Once a listing is required, only a listing changes that.
        self.watching &= self.tries < MAX_TRIES;
        match (self.watching, self.complete) {
            (true, Some(complete)) => watch_after(complete),
            _ => ResumeCommand::List,
        }
    }
}

const fn watch_after(revision: Revision) -> ResumeCommand {
    ResumeCommand::WatchFrom(revision.next())
}

fn put<V: Clone + PartialEq>(
    known: &mut BTreeMap<String, KnownHolder<V>>,
    held: WatchedEntry<V>,
    events: &mut Vec<ViewEvent<V>>,
) {
    let WatchedEntry {
        key,
        created,
        value,
        ..
    } = held;
    let now = KnownHolder {
        created,
        value: value.clone(),
    };
    match known.insert(key, now) {
        Some(old) if old.created == created => {
            if old.value != value {
                events.push(ViewEvent::Changed(value));
            }
        }
        Some(old) => {
            events.push(ViewEvent::Disappeared(old.value));
            events.push(ViewEvent::Appeared(value));
        }
        None => events.push(ViewEvent::Appeared(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::ResumeCommand::{List, WatchFrom};
    use super::ViewEvent::{Appeared, Changed, Disappeared, HistoryLost};
    use super::WatchBreak::{Ended, Failed, NoHistory};
    use super::*;
    use proptest::prelude::*;

    type Value = &'static str;

    fn at(number: i64) -> Revision {
        Revision::new(number)
    }

    fn from(number: i64) -> ResumeCommand {
        WatchFrom(at(number))
    }

    fn held(key: &str, created: i64, modified: i64, value: Value) -> WatchedEntry<Value> {
        WatchedEntry {
            key: key.to_owned(),
            created: at(created),
            modified: at(modified),
            value,
        }
    }

    fn put(key: &str, created: i64, modified: i64, value: Value) -> WatchedChange<Value> {
        WatchedChange::Put(held(key, created, modified, value))
    }

    fn gone(key: &str, revision: i64) -> WatchedChange<Value> {
        WatchedChange::Gone {
            key: key.to_owned(),
            revision: at(revision),
        }
    }

    /// A watch that knows `a` (created at 3, changed at 5) and `b` (created at 4), complete up to
    /// revision 10.
    fn watching() -> WatchResume<Value> {
        let mut watch = WatchResume::new();
        let listing = vec![held("a", 3, 5, "a1"), held("b", 4, 4, "b1")];
        assert_eq!(
            watch.listed(listing, at(10)),
            (vec![Appeared("a1"), Appeared("b1")], from(11))
        );
        watch
    }

    #[test]
    fn reports_changes_in_order() {
        for (changes, events) in [
            (vec![], vec![]),
            (vec![put("c", 11, 11, "c1")], vec![Appeared("c1")]),
            (vec![gone("a", 11)], vec![Disappeared("a1")]),
            (vec![gone("c", 11)], vec![]),
            // The same holder.
            (vec![put("a", 3, 11, "a1")], vec![]),
            (vec![put("a", 3, 11, "a2")], vec![Changed("a2")]),
            // Another holder, whatever its value.
            (
                vec![put("a", 11, 11, "a1")],
                vec![Disappeared("a1"), Appeared("a1")],
            ),
            // One revision.
            (
                vec![gone("b", 11), gone("a", 11), put("c", 11, 11, "c1")],
                vec![Disappeared("b1"), Disappeared("a1"), Appeared("c1")],
            ),
            // Several.
            (
                vec![gone("a", 11), put("a", 12, 12, "a2"), gone("a", 15)],
                vec![Disappeared("a1"), Appeared("a2"), Disappeared("a2")],
            ),
        ] {
            assert_eq!(watching().changed(changes.clone()), events, "{changes:?}");
        }
    }

    #[test]
    fn drops_known_and_late_changes() {
        let mut watch = watching();
        let none: [ViewEvent<Value>; 0] = [];
        assert_eq!(watch.changed(vec![gone("a", 9), gone("b", 10)]), none);
        assert_eq!(watch.changed(vec![put("c", 10, 10, "c1")]), none);
        assert_eq!(watch.changed(vec![gone("b", 12)]), [Disappeared("b1")]);
        assert_eq!(
            watch.changed(vec![put("b", 11, 11, "b2"), put("c", 12, 12, "c1")]),
            none
        );
        // Backwards within one batch.
        assert_eq!(
            watch.changed(vec![gone("a", 14), put("a", 13, 13, "a2")]),
            [Disappeared("a1")]
        );
    }

    #[test]
    fn resumes_behind_the_complete_revision() {
        let mut watch = watching();
        watch.complete_to(at(20));
        assert_eq!(watch.broken(Ended), from(21));
        // Never backwards.
        watch.complete_to(at(15));
        assert_eq!(watch.broken(Ended), from(21));
        assert_eq!(watch.changed(vec![gone("a", 21)]), [Disappeared("a1")]);
        assert_eq!(watch.broken(Ended), from(22));
        // The progress of the broken watch does not apply to the next listing.
        assert_eq!(watch.broken(NoHistory), List);
        watch.complete_to(at(30));
        let (events, then) = watch.listed(vec![held("b", 4, 4, "b1")], at(22));
        assert_eq!((events, then), (vec![HistoryLost], from(23)));
        let mut early: WatchResume<Value> = WatchResume::new();
        early.complete_to(at(30));
        assert_eq!(early.broken(Failed), List);
    }

    #[test]
    fn a_value_that_was_changed_is_the_one_that_disappears() {
        let mut watch = watching();
        assert_eq!(
            watch.changed(vec![put("a", 3, 11, "a2"), gone("a", 12)]),
            [Changed("a2"), Disappeared("a2")]
        );
    }

    #[test]
    fn continues_behind_the_last_complete_revision_after_a_break() {
        let mut watch = watching();
        assert_eq!(watch.broken(Ended), from(11));
        // Changes of one revision, and dropped changes, do not move the position.
        watch.changed(vec![gone("a", 14), gone("x", 14), gone("b", 13)]);
        assert_eq!(watch.broken(Ended), from(15));
        assert_eq!(watch.broken(Failed), from(15));
        assert_eq!(
            watch.changed(vec![gone("b", 14), put("a", 15, 15, "a1"), gone("b", 16)]),
            [Appeared("a1"), Disappeared("b1")]
        );
        assert_eq!(watch.broken(Ended), from(17));
    }

    #[test]
    fn lists_where_the_history_is_not_certain() {
        for (breaks, then) in [
            (&[Ended][..], from(11)),
            (&[Failed, Failed], from(11)),
            (&[Failed, Failed, Failed], List),
            (&[Ended, Failed, Failed], from(11)),
            (&[Ended, Failed, Failed, Failed], List),
            // A watch that was established in between resets the count.
            (&[Failed, Failed, Ended, Failed, Failed], from(11)),
            (&[Failed, Failed, Ended, Failed, Failed, Failed], List),
            (&[NoHistory], List),
            (&[Ended, NoHistory], List),
            // Only a listing changes that.
            (&[NoHistory, Ended], List),
            (&[NoHistory, Failed], List),
            (&[Failed, Failed, Failed, Ended], List),
        ] {
            let mut watch = watching();
            let commands: Vec<_> = breaks.iter().map(|why| watch.broken(*why)).collect();
            assert_eq!(commands.last(), Some(&then), "{breaks:?}");
        }
    }

    #[test]
    fn a_listing_resets_the_count_of_tries() {
        let mut watch = watching();
        for _ in 0..MAX_TRIES {
            watch.broken(Failed);
        }
        watch.listed(vec![], at(20));
        assert_eq!(watch.broken(Failed), from(21));
        assert_eq!(watch.broken(Failed), from(21));
        assert_eq!(watch.broken(Failed), List);
    }

    #[test]
    fn without_a_first_listing_there_is_nothing_to_watch_from() {
        for why in [Ended, Failed, NoHistory] {
            assert_eq!(WatchResume::<Value>::new().broken(why), List, "{why:?}");
        }
    }

    #[test]
    fn a_listing_reports_exactly_the_difference() {
        for (listing, events) in [
            (
                vec![held("a", 3, 5, "a1"), held("b", 4, 4, "b1")],
                vec![HistoryLost],
            ),
            (
                vec![],
                vec![HistoryLost, Disappeared("a1"), Disappeared("b1")],
            ),
            (
                vec![held("b", 4, 4, "b1"), held("c", 12, 12, "c1")],
                vec![HistoryLost, Disappeared("a1"), Appeared("c1")],
            ),
            (
                vec![held("a", 12, 12, "a1"), held("b", 4, 13, "b2")],
                vec![
                    HistoryLost,
                    Disappeared("a1"),
                    Appeared("a1"),
                    Changed("b2"),
                ],
            ),
            (
                vec![held("a", 12, 12, "a2")],
                vec![
                    HistoryLost,
                    Disappeared("b1"),
                    Disappeared("a1"),
                    Appeared("a2"),
                ],
            ),
        ] {
            let mut watch = watching();
            assert_eq!(watch.broken(NoHistory), List);
            assert_eq!(
                watch.listed(listing.clone(), at(20)),
                (events, from(21)),
                "{listing:?}"
            );
            // The view equals the listing, and if nothing has happened nothing was lost.
            assert_eq!(watch.broken(NoHistory), List);
            assert_eq!(watch.listed(listing, at(20)), (vec![], from(21)));
        }
    }

    #[test]
    fn the_first_listing_has_lost_nothing() {
        let mut watch = WatchResume::new();
        assert_eq!(watch.broken(Failed), List);
        assert_eq!(
            watch.listed(vec![held("a", 3, 5, "a1")], at(10)),
            (vec![Appeared("a1")], from(11))
        );
    }

    #[test]
    fn changes_are_left_to_the_listing_while_one_is_wanted() {
        let mut watch = WatchResume::new();
        assert_eq!(watch.changed(vec![put("a", 1, 1, "a1")]), []);
        let mut watch = watching();
        assert_eq!(watch.broken(NoHistory), List);
        assert_eq!(watch.changed(vec![gone("a", 11)]), []);
        assert_eq!(watch.broken(Failed), List);
        assert_eq!(
            watch.listed(vec![held("b", 4, 4, "b1")], at(11)),
            (vec![HistoryLost, Disappeared("a1")], from(12))
        );
    }

    #[test]
    fn a_listing_that_nobody_asked_for_changes_nothing() {
        let mut watch = watching();
        watch.changed(vec![gone("a", 11)]);
        assert_eq!(
            watch.listed(vec![held("a", 3, 5, "a1")], at(10)),
            (vec![], from(12))
        );
        assert_eq!(
            watch.changed(vec![gone("a", 12), gone("b", 13)]),
            [Disappeared("b1")]
        );
    }

    #[test]
    fn goes_back_with_a_registry_that_was_restored() {
        let mut watch = watching();
        assert_eq!(watch.broken(NoHistory), List);
        assert_eq!(
            watch.listed(vec![held("a", 3, 3, "a0")], at(3)),
            (vec![HistoryLost, Disappeared("b1"), Changed("a0")], from(4))
        );
        assert_eq!(watch.changed(vec![gone("a", 4)]), [Disappeared("a0")]);
        // Back to the very revision that was known.
        assert_eq!(watch.broken(NoHistory), List);
        assert_eq!(
            watch.listed(vec![held("c", 2, 2, "c0")], at(4)),
            (vec![HistoryLost, Appeared("c0")], from(5))
        );
    }

    #[test]
    fn the_greatest_revision_has_no_next() {
        let mut watch = WatchResume::<Value>::new();
        assert_eq!(watch.listed(vec![], at(i64::MAX)), (vec![], from(i64::MAX)));
    }

    /// A change of the registry at one revision: its key, and whether it is put or deleted.
    type Step = (u8, bool);

    /// A registry with its history, and a watcher that applies the events that it gets.
    #[derive(Default)]
    struct WatchedRegistry {
        keys: BTreeMap<String, WatchedEntry<(String, i64)>>,
        history: Vec<WatchedChange<(String, i64)>>,
        /// How much of the history is compacted.
        compacted: usize,
        /// The keys as the watcher sees them.
        seen: BTreeMap<String, i64>,
        /// The number of events received, except losses of history.
        events: usize,
        lost: usize,
    }

    impl WatchedRegistry {
        fn step(&mut self, (key, put): Step) {
            let key = format!("k{key}");
            let revision = self.revision() + 1;
            let change = if put {
                let created = self
                    .keys
                    .get(&key)
                    .map_or(at(revision), |held| held.created);
                let held = WatchedEntry {
                    key: key.clone(),
                    created,
                    modified: at(revision),
                    value: (key.clone(), revision),
                };
                self.keys.insert(key, held.clone());
                WatchedChange::Put(held)
            } else {
                self.keys.remove(&key);
                WatchedChange::Gone {
                    key,
                    revision: at(revision),
                }
            };
            self.history.push(change);
        }

        fn revision(&self) -> i64 {
            i64::try_from(self.history.len()).unwrap()
        }

        /// The number of events that an observer of all changes would have received.
        fn happened(&self) -> usize {
            let mut there = BTreeSet::new();
            let is_one = |change: &&WatchedChange<_>| match change {
                WatchedChange::Put(held) => {
                    there.insert(held.key.clone());
                    true
                }
                WatchedChange::Gone { key, .. } => there.remove(key),
            };
            self.history.iter().filter(is_one).count()
        }

        fn observe(&mut self, events: Vec<ViewEvent<(String, i64)>>) {
            for event in events {
                self.events += 1;
                match event {
                    HistoryLost => {
                        self.events -= 1;
                        self.lost += 1;
                    }
                    Appeared((key, value)) => assert_eq!(self.seen.insert(key, value), None),
                    Changed((key, value)) => {
                        let old = self.seen.insert(key, value);
                        assert!(old.is_some_and(|old| old < value));
                    }
                    Disappeared((key, value)) => assert_eq!(self.seen.remove(&key), Some(value)),
                }
            }
        }

        /// Carries out the watch's commands until it watches and is up to date; answers its breaks
        /// on the way.
        fn follow(&mut self, watch: &mut WatchResume<(String, i64)>, mut then: ResumeCommand) {
            loop {
                match then {
                    List => {
                        let listing = self.keys.values().cloned().collect();
                        let (events, command) = watch.listed(listing, at(self.revision()));
                        assert_eq!(command, from(self.revision() + 1));
                        self.observe(events);
                        then = command;
                    }
                    WatchFrom(revision) => {
                        let from = usize::try_from(revision.get() - 1).unwrap();
                        if from < self.compacted {
                            then = watch.broken(NoHistory);
                            assert_eq!(then, List);
                            continue;
                        }
                        let events = watch.changed(self.history[from..].to_vec());
                        return self.observe(events);
                    }
                }
            }
        }
    }

    proptest! {
        /// Changes arrive late, twice and in pieces; watches break, and histories are compacted;
        /// the view finally equals the list, and no change is missed unless that is reported.
        #[test]
        fn the_view_equals_the_list_once_things_are_quiet(
            rounds in prop::collection::vec(
                (
                    prop::collection::vec((0..4_u8, any::<bool>()), 0..6),
                    0..9_usize,
                    prop::collection::vec(
                        prop_oneof![4 => Just(Failed), 2 => Just(Ended), 1 => Just(NoHistory)],
                        0..5,
                    ),
                    prop::bool::weighted(0.2),
                ),
                0..12,
            ),
        ) {
            let mut watched = WatchedRegistry::default();
            let mut watch = WatchResume::new();
            watched.follow(&mut watch, List);
            let mut delivered = 0;
            for (steps, again, breaks, compacts) in rounds {
                for step in steps {
                    watched.step(step);
                }
                if compacts {
                    watched.compacted = watched.history.len();
                }
                match breaks.iter().map(|why| watch.broken(*why)).last() {
                    Some(then) => {
                        if then == List {
                            let late = watch.changed(watched.history.clone());
                            prop_assert!(late.is_empty());
                        }
                        watched.follow(&mut watch, then);
                    }
                    None => {
                        let from = usize::saturating_sub(delivered, again);
                        let events = watch.changed(watched.history[from..].to_vec());
                        watched.observe(events);
                    }
                }
                delivered = watched.history.len();
                let view: BTreeMap<_, _> =
                    watched.keys.values().map(|held| held.value.clone()).collect();
                prop_assert_eq!(&watched.seen, &view);
                prop_assert!(watched.lost > 0 || watched.events == watched.happened());
            }
        }
    }
}
