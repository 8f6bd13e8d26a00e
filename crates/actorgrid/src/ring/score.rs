//! Scores how well a member suits a key. Everything here is part of a promise: the numbers are the
//! same in every process, on every platform, in every version.

use std::cmp::Ordering;
use std::num::NonZeroU32;

use twox_hash::XxHash3_64;

/// The number of binary digits of a distance after the point. The best of a million members has a
/// distance of about a millionth, for which twenty of these digits remain. More would cost time.
const FRACTION_BITS: u32 = 40;

/// Returns the hash of a key or of a name: XXH3 with 64 bits and without a seed or secret, as
/// published.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// A member's score for a key; the least score is the best.
///
/// The score is `-log2(u) / weight`. The number `u` is computed from the key and the member, and is
/// distributed uniformly between 0 and 1. Each member is then the best for a share of the keys in
/// proportion to its weight, and its score does not depend on the other members.
///
/// Everything is computed in integers. The standard library's logarithm does not give the same
/// number on all platforms, and on some platforms even the four basic operations on `f64` do not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Score {
    /// `-log2(u)`, in units of `2^-FRACTION_BITS`.
    distance: u64,
    weight: NonZeroU32,
    draw: u64,
}

impl Score {
    pub(super) fn new(key: u64, member: u64, weight: NonZeroU32) -> Self {
        let draw = draw(key, member);
        Self {
            distance: distance(draw),
            weight,
            draw,
        }
    }

    /// Returns the score if it is better than `best`. Rules out most worse scores without computing
    /// the logarithm.
    pub(super) fn better(best: &Self, key: u64, member: u64, weight: NonZeroU32) -> Option<Self> {
        let nearest = Self {
            distance: least_distance(draw(key, member)),
            weight,
            draw: u64::MAX,
        };
        if nearest.cmp(best).is_ge() {
            return None;
        }
        let score = Self::new(key, member, weight);
        score.cmp(best).is_lt().then_some(score)
    }

    /// Returns a score for comparing members of equal weight. It orders them as [`new`](Self::new)
    /// does, but without computing the logarithm, which never decreases as the draw increases.
    pub(super) fn even(key: u64, member: u64) -> Self {
        Self {
            distance: 0,
            weight: NonZeroU32::MIN,
            draw: draw(key, member),
        }
    }

    /// Compares two scores; the better one is less. Quotients are compared exactly, so this is a
    /// total order.
    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (self.times(other.weight), other.times(self.weight));
        ours.cmp(&theirs).then(other.draw.cmp(&self.draw))
    }

    fn times(&self, weight: NonZeroU32) -> u128 {
        u128::from(self.distance) * u128::from(weight.get())
    }
}

/// Returns a number for one pair of key and member: the finalizer of SplitMix64 (Steele, Lea and
/// Flood, 2014; variant 13 of Stafford), in which each input bit flips each output bit in about
/// half of the cases.
fn draw(key: u64, member: u64) -> u64 {
    let mut bits = key ^ member;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// `-log2((draw + 1) / 2^64)`, rounded up.
///
/// Computed digit by digit: the logarithm of a number from 1 to 2 has a one as its first digit
/// after the point if the square of the number is 2 or more. The other digits are those of the
/// logarithm of the square (halved in that case). Squares are rounded down, which keeps their
/// order, so a greater draw never has a greater distance.
fn distance(draw: u64) -> u64 {
    const WHOLE: u64 = 64 << FRACTION_BITS;
    let Some(number) = draw.checked_add(1) else {
        return 0;
    };
    // From 1 to 2, in units of `2^-63`.
    let mut mantissa = number << number.leading_zeros();
    let mut log = u64::from(number.ilog2());
    for _ in 0..FRACTION_BITS {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let digit = (square >> 64) as u64;
        mantissa = (square >> digit) as u64;
        log = (log << 1) | digit;
    }
    WHOLE - log
}

/// Returns a lower bound on the distance: `-log2(u)` is never less than `1 - u`.
fn least_distance(draw: u64) -> u64 {
    (u64::MAX - draw) >> (64 - FRACTION_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: f64 = (1_u64 << FRACTION_BITS) as f64;

    #[test]
    fn hashes_as_published() {
        // Recorded from the reference implementation, version 0.8: at least one for each branch on
        // the length.
        for (text, times, expected) in [
            ("", 1, 0x2d06_8005_38d3_94c2),
            ("a", 1, 0xe6c6_32b6_1e96_4e1f),
            ("key-0", 1, 0x819f_6b51_706f_0178),
            ("worker-0", 1, 0x2ccc_8438_65a1_90bd),
            ("0123456789abcdef", 1, 0x6443_9946_d8fa_212d),
            ("0123456789abcdef0", 1, 0xc92e_2385_daf3_6034),
            ("x", 128, 0x4ca3_7e83_f6cd_dd17),
            ("x", 129, 0xe4f9_7421_08fe_27dc),
            ("x", 240, 0x3e16_ca8a_0c6c_cb68),
            ("x", 241, 0x14da_9e5c_301a_6a1d),
            ("x", 1024, 0xfc56_a7ce_85b3_164a),
        ] {
            assert_eq!(hash(text.repeat(times).as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn draws_as_published() {
        // The first outputs of SplitMix64 with the seed zero: its finalizer, applied to multiples
        // of its step.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        for (times, expected) in [
            (1, 0xe220_a839_7b1d_cdaf),
            (2, 0x6e78_9e6a_a1b9_65f4),
            (3, 0x06c4_5d18_8009_454f),
        ] {
            let bits = STEP.wrapping_mul(times);
            assert_eq!(draw(bits, 0), expected);
            assert_eq!(draw(bits ^ 0x5555, 0x5555), expected);
        }
    }

    #[test]
    fn the_distance_of_powers_of_two_is_whole() {
        assert_eq!(distance(u64::MAX), 0);
        for power in 0..64_u32 {
            let draw = (1_u64 << power) - 1;
            assert_eq!(distance(draw), u64::from(64 - power) << FRACTION_BITS);
        }
        // Computed with sixty digits.
        for (draw, expected) in [
            (0x3039, 55_424_450_330_182),
            (0x0123_4567_89ab_cdef, 8_591_343_276_641),
            (0xfedc_ba98_7654_3210, 7_065_757_665),
            (u64::MAX - 1000, 1),
            (u64::MAX - 1, 1),
        ] {
            assert_eq!(distance(draw), expected);
        }
    }

    proptest! {
        #[test]
        fn the_distance_is_the_logarithm(draw in any::<u64>(), shift in 0_u32..60) {
            let draw = draw >> shift;
            let expected = 64.0 - (draw as f64 + 1.0).log2();
            let is = distance(draw) as f64 / ONE;
            prop_assert!((is - expected).abs() < 2.0 / ONE, "{is} is not {expected}");
        }

        #[test]
        fn a_greater_draw_is_never_farther(draw in any::<u64>(), shift in 0_u32..64, step in any::<u64>()) {
            for step in [1, step >> shift] {
                let greater = draw.saturating_add(step);
                prop_assert!(distance(greater) <= distance(draw));
            }
        }

        #[test]
        fn scores_are_ruled_out_correctly_without_the_logarithm(
            key in any::<u64>(),
            members in any::<[u64; 2]>(),
            same in any::<bool>(),
            weights in any::<[NonZeroU32; 2]>(),
            shift in 0_u32..64,
        ) {
            let draw = u64::MAX - (members[0] >> shift);
            prop_assert!(least_distance(draw) <= distance(draw));
            let other = if same { members[0] } else { members[1] };
            let best = Score::new(key, members[0], weights[0]);
            let score = Score::new(key, other, weights[1]);
            let better = Score::better(&best, key, other, weights[1]);
            prop_assert_eq!(better.is_some(), score.cmp(&best).is_lt());
            prop_assert!(better.is_none_or(|better| better.cmp(&score).is_eq()));
        }

        #[test]
        fn scores_of_equal_weight_are_ordered_by_their_draws(
            key in any::<u64>(),
            members in any::<[u64; 2]>(),
            weight in any::<NonZeroU32>(),
        ) {
            let [one, other] = members.map(|member| Score::new(key, member, weight));
            let [even, other_even] = members.map(|member| Score::even(key, member));
            prop_assert_eq!(one.cmp(&other), even.cmp(&other_even));
        }

        #[test]
        fn scores_are_in_order(
            draws in any::<[u64; 3]>(),
            weights in any::<[NonZeroU32; 3]>(),
            same in any::<[bool; 2]>(),
        ) {
            let scores = [0, 1, 2].map(|index| {
                let at = if index > 0 && same[index - 1] { 0 } else { index };
                Score::new(0, draws[at], weights[index])
            });
            let [a, b, c] = scores;
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            if a.cmp(&b).is_le() && b.cmp(&c).is_le() {
                prop_assert!(a.cmp(&c).is_le());
            }
        }
    }

    #[test]
    fn weights_divide() {
        let weight = |weight| NonZeroU32::new(weight).unwrap();
        // Draws of a half and of a quarter: at distances of one and two.
        let (half, quarter) = ((1_u64 << 63) - 1, (1_u64 << 62) - 1);
        let score = |draw, weight| Score {
            distance: distance(draw),
            weight,
            draw,
        };
        let near = score(half, weight(1));
        assert_eq!(near.cmp(&score(quarter, weight(1))), Ordering::Less);
        assert_eq!(near.cmp(&score(quarter, weight(3))), Ordering::Greater);
        // At the same distance: the greater draw wins.
        assert_eq!(near.cmp(&score(quarter, weight(2))), Ordering::Less);
        assert_eq!(near.cmp(&near), Ordering::Equal);
        // The greatest distance with the greatest weight does not overflow.
        let least = score(0, NonZeroU32::MAX);
        assert_eq!(least.cmp(&score(0, weight(1))), Ordering::Less);
    }
}
