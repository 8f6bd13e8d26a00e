//! The wire names of a derived message set, computed at compile time.

/// Returns the number of names in all sets together.
#[must_use]
pub const fn count(mut sets: &[&[&str]]) -> usize {
    let mut count = 0;
    while let [set, rest @ ..] = sets {
        count += set.len();
        sets = rest;
    }
    count
}

/// Returns the names of all sets, in order. `N` is their [`count`].
#[must_use]
pub const fn join<const N: usize>(mut sets: &[&[&'static str]]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut at = 0;
    while let [set, rest @ ..] = sets {
        let mut set = *set;
        while let [name, more @ ..] = set {
            names[at] = name;
            at += 1;
            set = more;
        }
        sets = rest;
    }
    names
}

/// Whether the two sets have a name in common.
#[must_use]
pub const fn overlap(mut one: &[&str], other: &[&str]) -> bool {
    while let [name, rest @ ..] = one {
        let mut others = other;
        while let [candidate, more @ ..] = others {
            if same(name, candidate) {
                return true;
            }
            others = more;
        }
        one = rest;
    }
    false
}

const fn same(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while let ([a, one_rest @ ..], [b, other_rest @ ..]) = (one, other) {
        if *a != *b {
            return false;
        }
        (one, other) = (one_rest, other_rest);
    }
    one.is_empty() && other.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_in_order() {
        const SETS: &[&[&str]] = &[&["a", "b"], &[], &["", "c"]];
        const NAMES: [&str; count(SETS)] = join(SETS);
        assert_eq!(NAMES, ["a", "b", "", "c"]);
    }

    #[test]
    fn overlaps_where_a_whole_name_is_the_same() {
        assert!(overlap(&["a", "shop/Job"], &["b", "shop/Job"]));
        assert!(overlap(&[""], &["a", ""]));
        assert!(!overlap(
            &["shop/Job"],
            &["shop/Jobs", "shop/Jo", "", "shop/Jab"]
        ));
        assert!(!overlap(&[], &["a"]));
    }
}
