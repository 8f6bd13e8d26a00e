//! The members' shares, the keys that changes move, and the promised values.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn weight(weight: u32) -> NonZeroU32 {
    NonZeroU32::new(weight).unwrap()
}

fn numbered(family: &str, count: usize) -> Rendezvous {
    (0..count)
        .map(|number| name(&format!("{family}{number}")))
        .collect()
}

fn weighted(members: &[(&str, u32)]) -> Rendezvous {
    members
        .iter()
        .map(|(text, number)| (name(text), weight(*number)))
        .collect()
}

const KEYS: usize = 100_000;

/// Returns the members of the keys `key-0`, `key-1` and so on.
fn homes(members: &Rendezvous) -> Vec<String> {
    let home = |number| {
        members
            .by_str(&format!("key-{number}"))
            .unwrap()
            .to_string()
    };
    (0..KEYS).map(home).collect()
}

fn shares<'a>(homes: impl IntoIterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut shares = BTreeMap::new();
    for home in homes {
        *shares.entry(home).or_default() += 1;
    }
    shares
}

#[test]
fn a_key_keeps_its_members_for_ever() {
    // Computed by another program, with the hash's reference implementation and logarithms of sixty
    // digits. These never change: see the promise in the documentation.
    let even = numbered("worker-", 5);
    let uneven = weighted(&[("a", 1), ("b", 2), ("c", 4), ("d", 3)]);
    let texts = [
        ("", [1, 3, 2, 0, 4], "cbad"),
        ("a", [2, 3, 4, 1, 0], "bdca"),
        ("key-0", [0, 3, 4, 1, 2], "dbca"),
        ("key-1", [2, 0, 1, 4, 3], "dcba"),
        ("key-2", [4, 1, 0, 3, 2], "dacb"),
        ("group-0", [1, 4, 2, 3, 0], "acdb"),
        ("日本語", [0, 3, 1, 2, 4], "dcab"),
    ];
    let numbers = [
        (0, [4, 2, 1, 0, 3], "bdca"),
        (1, [2, 1, 0, 3, 4], "dbca"),
        (2, [1, 0, 3, 4, 2], "cbad"),
        (1 << 32, [1, 0, 2, 3, 4], "bcda"),
        (u64::MAX, [1, 4, 2, 3, 0], "dcba"),
    ];
    let check = |first: &dyn Fn(&Rendezvous) -> Vec<String>, order: [u32; 5], letters: &str| {
        assert_eq!(first(&even), order.map(|number| format!("worker-{number}")));
        assert_eq!(first(&uneven).concat(), letters);
    };
    let texts_of = |names: Vec<&Name>| names.iter().map(ToString::to_string).collect();
    for (key, order, letters) in texts {
        check(
            &|members| texts_of(members.first_by_str(key, 9)),
            order,
            letters,
        );
        let bytes = key.as_bytes();
        check(
            &|members| texts_of(members.first_by_bytes(bytes, 9)),
            order,
            letters,
        );
    }
    for (key, order, letters) in numbers {
        check(
            &|members| texts_of(members.first_by_u64(key, 9)),
            order,
            letters,
        );
    }
}

#[test]
fn keys_are_spread_evenly() {
    // 1000 keys for each of 100 members, with a random deviation of 32 (one sigma): the largest
    // deviation of 100 is expected at some 2.6 sigma, so a tenth (3.2 sigma) is the usual case.
    let homes = homes(&numbered("worker-", 100));
    let shares = shares(homes.iter().map(String::as_str));
    assert_eq!(shares.len(), 100);
    for (member, share) in shares {
        assert!((900..=1100).contains(&share), "{member} has {share}");
    }
}

#[test]
fn no_family_of_names_or_keys_is_spread_worse_than_by_chance() {
    // The sum of squared deviations over the expectation is 99 on average, with a sigma of 14.
    let names: [&dyn Fn(usize) -> String; 4] = [
        &|number| format!("reader-{number}"),
        &|number| format!("{number}"),
        &|number| format!("10-0-{}-{}-7777", number / 10, number % 10),
        &|number| format!("pod_{number:04}_eu_west"),
    ];
    type Home = dyn Fn(&Rendezvous, usize) -> String;
    let keys: [&Home; 5] = [
        &|members, key| members.by_u64(key as u64).unwrap().to_string(),
        &|members, key| members.by_u64(key as u64 * 4096).unwrap().to_string(),
        &|members, key| members.by_str(&key.to_string()).unwrap().to_string(),
        &|members, key| {
            members
                .by_str(&format!("user:{key:012}"))
                .unwrap()
                .to_string()
        },
        &|members, key| {
            let path = format!("/var/log/{}/{}.gz", key % 100, key / 100);
            members.by_str(&path).unwrap().to_string()
        },
    ];
    for (family, named) in names.iter().enumerate() {
        let members: Rendezvous = (0..100).map(|number| name(&named(number))).collect();
        for (kind, home) in keys.iter().enumerate() {
            let homes: Vec<_> = (0..KEYS).map(|key| home(&members, key)).collect();
            let shares = shares(homes.iter().map(String::as_str));
            let squares: f64 = shares
                .values()
                .map(|share| (*share as f64 - 1000.0).powi(2))
                .sum();
            assert!(
                squares / 1000.0 < 99.0 + 4.0 * 14.1,
                "names {family}, keys {kind}"
            );
        }
    }
}

#[test]
fn a_new_member_takes_its_share_and_nothing_else_moves() {
    let mut members = numbered("worker-", 100);
    let before = homes(&members);
    members.insert(name("worker-100"));
    let after = homes(&members);
    let moved = before.iter().zip(&after).filter(|(from, to)| from != to);
    let to: Vec<_> = moved.map(|(_, to)| to.as_str()).collect();
    assert!(to.iter().all(|to| *to == "worker-100"));
    assert!((1..=KEYS * 15 / 1000).contains(&to.len()), "{}", to.len());

    members.remove("worker-100");
    assert_eq!(homes(&members), before);
}

#[test]
fn the_keys_of_a_removed_member_go_to_all_others() {
    let mut members = numbered("worker-", 10);
    let before = homes(&members);
    assert_eq!(members.remove("worker-3"), Some(weight(1)));
    let after = homes(&members);
    let moved: Vec<_> = before
        .iter()
        .zip(&after)
        .filter(|(from, to)| from != to)
        .collect();
    assert!(moved.iter().all(|(from, _)| *from == "worker-3"));
    assert!(!after.iter().any(|home| home == "worker-3"));
    let shares = shares(moved.iter().map(|(_, to)| to.as_str()));
    assert_eq!(shares.len(), 9);
    // Some 1100 keys each.
    assert!(
        shares.values().all(|share| (900..1300).contains(share)),
        "{shares:?}"
    );
}

#[test]
fn members_have_shares_in_proportion_to_their_weights() {
    let homes = homes(&weighted(&[("one", 1), ("two", 2), ("four", 4)]));
    let shares = shares(homes.iter().map(String::as_str));
    for (member, weight) in [("one", 1), ("two", 2), ("four", 4)] {
        let expected = KEYS * weight / 7;
        let share = shares[member];
        // The random deviation is 0.8 % of the least share (one sigma).
        assert!(
            share.abs_diff(expected) * 100 < expected * 3,
            "{member} has {share}"
        );
    }
}

#[test]
fn a_changed_weight_moves_keys_only_to_that_member_or_only_from_it() {
    let mut members = weighted(&[("a", 3), ("b", 3), ("c", 3), ("d", 5)]);
    let before = homes(&members);
    assert_eq!(
        members.insert_weighted(name("a"), weight(6)),
        Some(weight(3))
    );
    let heavier = homes(&members);
    assert_ne!(heavier, before);
    for (from, to) in before.iter().zip(&heavier) {
        assert!(from == to || to == "a", "{from} to {to}");
    }
    assert_eq!(
        members.insert_weighted(name("a"), weight(1)),
        Some(weight(6))
    );
    let lighter = homes(&members);
    for (from, to) in heavier.iter().zip(&lighter) {
        assert!(from == to || from == "a", "{from} to {to}");
    }
    members.insert_weighted(name("a"), weight(3));
    assert_eq!(homes(&members), before);
}

#[test]
fn keeps_its_members_in_order() {
    let mut members = Rendezvous::new();
    assert!(members.is_empty());
    assert_eq!(members.by_str("key"), None);
    assert_eq!(members.by_bytes(b"key"), None);
    assert_eq!(members.by_u64(1), None);
    assert!(members.first_by_str("key", 3).is_empty());
    assert_eq!(members.insert(name("b")), None);
    assert_eq!(members.insert_weighted(name("a"), weight(7)), None);
    assert_eq!((members.len(), members.is_empty()), (2, false));
    assert!(
        members
            .members()
            .eq([(&name("a"), weight(7)), (&name("b"), weight(1))])
    );
    assert_eq!(members.weight("a"), Some(weight(7)));
    assert_eq!(members.weight("c"), None);
    assert_eq!(members.insert(name("a")), Some(weight(7)));
    assert_eq!(members, ["b", "a"].map(name).into_iter().collect());
    assert_eq!(members.remove("c"), None);
    assert_eq!(members.remove("a"), Some(weight(1)));
    assert_eq!(members.by_u64(1), Some(&name("b")));
    // As if added one by one: of two weights the later one counts.
    members.extend([
        (name("b"), weight(2)),
        (name("a"), weight(3)),
        (name("b"), weight(4)),
    ]);
    assert_eq!(members, weighted(&[("a", 3), ("b", 4)]));
    members.extend([name("b"), name("c")]);
    assert_eq!(members, weighted(&[("a", 3), ("b", 1), ("c", 1)]));
    assert_eq!(members.remove("b"), Some(weight(1)));
    assert_eq!(members.remove("a"), Some(weight(3)));
    assert_eq!(members.remove("c"), Some(weight(1)));
    assert_eq!(members, Rendezvous::new());
}

#[test]
fn a_number_is_its_bytes_and_a_text_too() {
    let members = numbered("worker-", 50);
    for number in 0..1000_u64 {
        let bytes = number.to_le_bytes();
        assert_eq!(members.by_u64(number), members.by_bytes(&bytes));
        let text = number.to_string();
        assert_eq!(members.by_str(&text), members.by_bytes(text.as_bytes()));
    }
}

/// Returns a set of members with weights, by name.
fn some_members() -> impl Strategy<Value = BTreeMap<String, NonZeroU32>> {
    let weights = prop_oneof![
        Just(weight(1)),
        (1..=4_u32).prop_map(weight),
        any::<NonZeroU32>()
    ];
    proptest::collection::btree_map("[a-z]{1,3}", weights, 1..12)
}

fn rendezvous<'a>(members: impl IntoIterator<Item = (&'a String, &'a NonZeroU32)>) -> Rendezvous {
    let members = members.into_iter();
    members
        .map(|(text, weight)| (name(text), *weight))
        .collect()
}

proptest! {
    #[test]
    fn the_order_of_insertion_does_not_matter(members in some_members(), key in ".{0,8}") {
        let forth = rendezvous(&members);
        let back = rendezvous(members.iter().rev());
        let mut single = Rendezvous::new();
        for (text, weight) in members.iter().rev() {
            single.insert(name("zzzz"));
            single.insert_weighted(name(text), *weight);
        }
        single.remove("zzzz");
        prop_assert_eq!(&forth, &back);
        prop_assert_eq!(&forth, &single);
        prop_assert_eq!(forth.by_str(&key), single.by_str(&key));
    }

    #[test]
    fn the_first_ones_are_distinct_and_begin_with_fewer(
        members in some_members(),
        key in any::<u64>(),
    ) {
        let members = rendezvous(&members);
        let all = members.first_by_u64(key, usize::MAX);
        prop_assert_eq!(all.len(), members.len());
        prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), members.len());
        for count in 0..=members.len() {
            prop_assert_eq!(members.first_by_u64(key, count), &all[..count]);
        }
        prop_assert_eq!(members.by_u64(key), all.first().copied());
    }

    #[test]
    fn a_removed_member_leaves_the_others_in_order(
        members in some_members(),
        at in any::<prop::sample::Index>(),
        key in any::<u64>(),
    ) {
        let mut members = rendezvous(&members);
        let before: Vec<Name> = members.first_by_u64(key, 99).into_iter().cloned().collect();
        let gone = at.get(&before).clone();
        members.remove(gone.as_str());
        let rest: Vec<_> = before.iter().filter(|name| **name != gone).collect();
        prop_assert_eq!(members.first_by_u64(key, 99), rest);
    }

    #[test]
    fn a_greater_weight_only_lifts_a_member(
        members in some_members(),
        at in any::<prop::sample::Index>(),
        to in any::<NonZeroU32>(),
        key in any::<u64>(),
    ) {
        let mut members = rendezvous(&members);
        let before: Vec<Name> = members.first_by_u64(key, 99).into_iter().cloned().collect();
        let changed = at.get(&before).clone();
        let from = members.insert_weighted(changed.clone(), to).unwrap();
        let after = members.first_by_u64(key, 99);
        let place = |names: &[&Name]| names.iter().position(|name| **name == changed).unwrap();
        let old: Vec<&Name> = before.iter().collect();
        if to >= from {
            prop_assert!(place(&after) <= place(&old));
        } else {
            prop_assert!(place(&after) >= place(&old));
        }
        let others = |names: &[&Name]| -> Vec<Name> {
            let others = names.iter().filter(|name| ***name != changed);
            others.map(|name| (*name).clone()).collect()
        };
        prop_assert_eq!(others(&after), others(&old));
    }

    #[test]
    fn equal_weights_are_the_same_as_no_weights(
        members in some_members(),
        all in any::<NonZeroU32>(),
        key in any::<u64>(),
    ) {
        let even: Rendezvous = members.keys().map(|text| name(text)).collect();
        let same: Rendezvous = members.keys().map(|text| (name(text), all)).collect();
        // One more member, of another weight, makes the logarithms count.
        let mut uneven = same.clone();
        let other = if all == NonZeroU32::MIN { weight(2) } else { NonZeroU32::MIN };
        uneven.insert_weighted(name("zzzz"), other);
        let order = uneven.first_by_u64(key, 99);
        let order: Vec<_> = order.into_iter().filter(|name| name.as_str() != "zzzz").collect();
        prop_assert_eq!(even.first_by_u64(key, 99), &order[..]);
        prop_assert_eq!(same.first_by_u64(key, 99), &order[..]);
    }
}
