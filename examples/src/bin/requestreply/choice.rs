//! Chooses the worker to ask, and those to ask instead if it rejects the request.

use actorgrid::Name;

/// Returns the workers for a user, best first, by rendezvous hashing.
///
/// The order depends only on the user and the names, so all fronts agree. If a worker leaves, only
/// its own users move, each to its next choice; if a worker joins, only those users move that
/// prefer it.
pub(crate) fn for_user<'a>(workers: &'a [Name], user: &str) -> Vec<&'a Name> {
    let mut choices: Vec<_> = workers
        .iter()
        .map(|worker| (score(worker.as_str(), user), worker))
        .collect();
    choices.sort_unstable_by(|a, b| b.cmp(a));
    choices.into_iter().map(|(_, worker)| worker).collect()
}

/// Returns the workers for a request without a user: each has its turn.
pub(crate) fn in_turn(workers: &[Name], turn: usize) -> Vec<&Name> {
    let first = turn.checked_rem(workers.len()).unwrap_or(0);
    let (before, from) = workers.split_at(first);
    from.iter().chain(before).collect()
}

/// FNV-1a over both names, followed by the last step of SplitMix64, as FNV alone mixes the last
/// bytes too little for comparisons. Written out here because the hashers of libraries may change,
/// and then two versions of the front would disagree.
fn score(worker: &str, user: &str) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    // This byte occurs in no name and no text, so no other pair yields the same bytes.
    const BETWEEN: u8 = 0xff;
    let bytes = worker.bytes().chain([BETWEEN]).chain(user.bytes());
    let hash = bytes.fold(OFFSET_BASIS, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    fn workers(count: usize) -> Vec<Name> {
        (0..count)
            .map(|index| Name::new(&format!("worker-127-0-0-1-{}", 7000 + index)).unwrap())
            .collect()
    }

    fn users() -> impl Iterator<Item = String> {
        (0..10_000).map(|index| format!("user-{index}"))
    }

    #[test]
    fn users_are_spread_evenly() {
        let workers = workers(5);
        let mut counts = HashMap::new();
        for user in users() {
            *counts.entry(for_user(&workers, &user)[0]).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 5);
        for (worker, count) in counts {
            assert!((1_800..2_200).contains(&count), "{worker}: {count}");
        }
    }

    #[test]
    fn fronts_of_all_versions_agree() {
        assert_eq!(score("worker-127-0-0-1-7000", "x"), 0x65d2_450e_f4eb_30bc);
    }

    proptest! {
        #[test]
        fn only_the_users_of_a_worker_that_leaves_move(
            user in ".*",
            count in 2_usize..20,
            leaves in any::<prop::sample::Index>(),
        ) {
            let before = workers(count);
            let mut after = before.clone();
            let left = after.remove(leaves.index(count));
            let mut expected = for_user(&before, &user);
            expected.retain(|worker| **worker != left);
            prop_assert_eq!(for_user(&after, &user), expected);
        }

        #[test]
        fn the_order_of_the_workers_does_not_matter(
            user in ".*",
            shuffled in Just(workers(8)).prop_shuffle(),
        ) {
            let sorted = workers(8);
            prop_assert_eq!(for_user(&shuffled, &user), for_user(&sorted, &user));
        }
    }

    #[test]
    fn each_worker_has_its_turn() {
        let workers = workers(3);
        for turn in 0..7 {
            let choices = in_turn(&workers, turn);
            assert_eq!(*choices[0], workers[turn % 3]);
            assert_eq!(*choices[1], workers[(turn + 1) % 3]);
            assert_eq!(choices.len(), 3);
        }
    }

    #[test]
    fn without_workers_there_is_no_choice() {
        assert!(for_user(&[], "x").is_empty());
        assert!(in_turn(&[], 5).is_empty());
    }
}
