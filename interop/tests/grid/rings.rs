//! The rings of both libraries, on random keys that differ each time.

use std::num::NonZeroU32;

use actorgrid::{MultiRing, Ring};
use interop::{Bed, Command};

pub(crate) async fn go_and_rust_map_alike(bed: &Bed) {
    let seed = fastrand::u64(..);
    println!("seed of the keys: {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for members in [1, 2, 7, 20, 1000, 65_537] {
        let keys: Vec<String> = (0..50)
            .map(|_| (0..random.usize(..20)).map(|_| random.char(..)).collect())
            .collect();
        let ints: Vec<i64> = (0..50)
            .map(|_| random.i64(..) >> random.u32(..64))
            .chain([0, 1, -1, i64::MAX, i64::MIN])
            .collect();
        let answer = bed.go.ask(Command {
            op: "ring",
            name: "reader".to_owned(),
            size: members as usize,
            keys: keys.clone(),
            ints: ints.clone(),
            ..Command::default()
        });
        let ring = Ring::new("reader", NonZeroU32::new(members).unwrap()).unwrap();
        let mut ours = Vec::new();
        for key in &keys {
            ours.extend([ring.by_str(key), ring.by_bytes(key.as_bytes())]);
        }
        for &key in &ints {
            ours.push(ring.by_hashed_i64(key));
            if let Ok(key) = u64::try_from(key) {
                ours.extend([ring.by_u64(key), ring.by_u64(key)]);
            }
        }
        let ours: Vec<_> = ours.iter().map(ToString::to_string).collect();
        assert_eq!(answer.await.success().names, ours);
    }
}

pub(crate) async fn go_and_rust_pick_the_same_ring(bed: &Bed) {
    let mut random = fastrand::Rng::new();
    for (members, rings, reserved) in [(2, 20, 0), (2, 20, 5), (1, 7, 6), (3, 2, 1)] {
        let keys: Vec<String> = (0..50)
            .map(|_| (0..random.usize(..20)).map(|_| random.char(..)).collect())
            .collect();
        let answer = bed.go.ask(Command {
            op: "ring",
            name: "reader".to_owned(),
            size: members as usize,
            rings,
            reserved,
            keys: keys.clone(),
            ..Command::default()
        });
        let number = |number| NonZeroU32::new(number).unwrap();
        let multi = MultiRing::new("reader", number(members), number(rings), reserved).unwrap();
        let mut ours = Vec::new();
        for key in &keys {
            ours.push(multi.by_str(key).name().to_string());
            if let Some(ring) = multi.by_reserved_str(key) {
                ours.push(ring.name().to_string());
            }
        }
        for ring in multi.rings() {
            for start in ring.starts() {
                ours.push(format!("{} {}", start.name(), start.actor_type()));
            }
        }
        assert_eq!(answer.await.success().names, ours, "{keys:?}");
    }
}
