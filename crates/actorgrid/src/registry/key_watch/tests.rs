//! Tests of following a key despite faults of the memory registry.

use std::time::Duration;

use super::*;
use crate::back_off::RandomShare;
use crate::environment::Simulation;
use crate::registry::{MemoryFault, MemoryOperation, MemoryRegistry};

const KEY: &str = "key";
const LIMIT: Duration = Duration::from_secs(1);
const FIRST_STEP: Duration = Duration::from_millis(100);
const LAST_STEP: Duration = Duration::from_secs(5);
const POLICY: BackOffPolicy = BackOffPolicy::new(FIRST_STEP, LAST_STEP, RandomShare::Quarter);
/// Longer than any fault of these tests lasts.
const LONG: Duration = Duration::from_secs(600);

fn start() -> (MemoryRegistry, TimedRegistry) {
    start_with(7)
}

fn start_with(seed: u64) -> (MemoryRegistry, TimedRegistry) {
    let environment = Simulation::new(seed).environment();
    let memory = MemoryRegistry::new(&environment);
    let timed = TimedRegistry::new(&environment, &memory.registry(), LIMIT);
    (memory, timed)
}

fn follow(timed: &TimedRegistry) -> KeyWatch {
    KeyWatch::new(timed.clone(), KEY.to_owned(), POLICY)
}

fn value(state: &KeyState) -> Option<String> {
    match state {
        KeyState::Present(entry) => Some(String::from_utf8(entry.value.to_vec()).unwrap()),
        KeyState::Absent => None,
    }
}

/// Returns the value of the next state, or `None` if the key is absent.
async fn next(watch: &mut KeyWatch) -> Option<String> {
    let next = tokio::time::timeout(LONG, watch.next()).await;
    value(&next.expect("no state arrived"))
}

async fn is_quiet(watch: &mut KeyWatch) -> bool {
    tokio::time::timeout(LONG, watch.next()).await.is_err()
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[tokio::test(start_paused = true)]
async fn begins_with_the_present_state_and_gives_each_that_follows() {
    let (memory, timed) = start();
    let mut watch = follow(&timed);
    assert_eq!(next(&mut watch).await, None);
    // Other keys must not matter.
    memory.overwrite("key.other", "x");
    memory.overwrite(KEY, "1");
    assert_eq!(next(&mut watch).await, text("1"));
    memory.overwrite(KEY, "2");
    memory.delete(KEY);
    memory.overwrite(KEY, "2");
    for state in [text("2"), None, text("2")] {
        assert_eq!(next(&mut watch).await, state);
    }
    assert!(is_quiet(&mut watch).await);
    assert_eq!(next(&mut follow(&timed)).await, text("2"));
}

#[tokio::test(start_paused = true)]
async fn begins_behind_a_known_revision() {
    let (memory, timed) = start();
    memory.overwrite(KEY, "1");
    let read = timed.exchange(|backend| backend.read(KEY)).await.unwrap();
    memory.delete(KEY);
    memory.overwrite(KEY, "2");
    let mut watch = KeyWatch::after(timed, KEY.to_owned(), POLICY, read.revision);
    assert_eq!(next(&mut watch).await, None);
    assert_eq!(next(&mut watch).await, text("2"));
    assert_eq!(memory.calls(MemoryOperation::Get), 1);
    assert!(is_quiet(&mut watch).await);
}

#[tokio::test(start_paused = true)]
async fn a_known_revision_that_is_compacted_gives_the_present_state() {
    let (memory, timed) = start();
    memory.overwrite(KEY, "1");
    let read = timed.exchange(|backend| backend.read(KEY)).await.unwrap();
    memory.delete(KEY);
    memory.overwrite(KEY, "2");
    memory.compact();
    let mut watch = KeyWatch::after(timed, KEY.to_owned(), POLICY, read.revision);
    assert_eq!(next(&mut watch).await, text("2"));
    assert!(is_quiet(&mut watch).await);
}

#[tokio::test(start_paused = true)]
async fn a_read_is_returned_though_no_watch_can_be_opened() {
    for fault in [
        MemoryFault::Refuse,
        MemoryFault::FailReply,
        MemoryFault::LoseReply,
        MemoryFault::Delay(2 * LIMIT),
    ] {
        let (memory, timed) = start();
        memory.overwrite(KEY, "1");
        memory.inject(MemoryOperation::Watch, fault);
        let begin = timed.environment().now();
        let mut watch = follow(&timed);
        assert_eq!(next(&mut watch).await, text("1"));
        assert_eq!(timed.environment().now(), begin);
        assert_eq!(memory.calls(MemoryOperation::Watch), 0);
        assert!(is_quiet(&mut watch).await, "{fault:?}");
        assert_eq!(memory.calls(MemoryOperation::Watch), 2, "{fault:?}");
        memory.delete(KEY);
        assert_eq!(next(&mut watch).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_break_a_state_comes_again_only_if_it_may_have_changed() {
    type Meanwhile = fn(&MemoryRegistry);
    type Case = (
        Option<&'static str>,
        Meanwhile,
        &'static [Option<&'static str>],
    );
    let cases: [Case; 8] = [
        (Some("1"), |_| (), &[]),
        (Some("1"), |memory| memory.overwrite("other", "x"), &[]),
        (Some("1"), |memory| memory.overwrite(KEY, "2"), &[Some("2")]),
        // The value is the same, but the entry is another one.
        (Some("1"), |memory| memory.overwrite(KEY, "1"), &[Some("1")]),
        (Some("1"), |memory| assert!(memory.delete(KEY)), &[None]),
        (None, |_| (), &[]),
        // Something happened, possibly to this key.
        (None, |memory| memory.overwrite("other", "x"), &[None]),
        (None, |memory| memory.overwrite(KEY, "2"), &[Some("2")]),
    ];
    for (number, (before, meanwhile, expected)) in cases.into_iter().enumerate() {
        let (memory, timed) = start();
        if let Some(before) = before {
            memory.overwrite(KEY, before);
        }
        let mut watch = follow(&timed);
        assert_eq!(next(&mut watch).await.as_deref(), before);
        assert!(is_quiet(&mut watch).await);
        memory.break_watches();
        meanwhile(&memory);
        for state in expected {
            assert_eq!(next(&mut watch).await.as_deref(), *state, "case {number}");
        }
        assert!(is_quiet(&mut watch).await, "case {number}");
        // The key is watched again.
        memory.overwrite(KEY, "last");
        assert_eq!(next(&mut watch).await, text("last"), "case {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_too_slow_gets_the_newest_state() {
    let (memory, timed) = start();
    let mut watch = follow(&timed);
    assert_eq!(next(&mut watch).await, None);
    memory.overwrite(KEY, "1");
    assert_eq!(next(&mut watch).await, text("1"));
    memory.overwrite(KEY, "2");
    memory.overwrite(KEY, "3");
    memory.compact();
    assert_eq!(next(&mut watch).await, text("3"));
    assert!(is_quiet(&mut watch).await);
}

#[tokio::test(start_paused = true)]
async fn the_pauses_grow_until_a_watch_gives_changes_or_holds() {
    let (memory, timed) = start();
    let environment = timed.environment().clone();
    let mut watch = follow(&timed);
    assert_eq!(next(&mut watch).await, None);
    // The registry accepts each watch and drops it at once. The state is returned when it is read,
    // which is when the pause is over.
    let mut pauses = Vec::new();
    for round in 0..8 {
        let opened = memory.calls(MemoryOperation::Watch);
        while memory.calls(MemoryOperation::Watch) == opened {
            let opening = tokio::time::timeout(Duration::from_millis(1), watch.next());
            assert!(opening.await.is_err());
        }
        memory.break_watches();
        memory.overwrite("other", round.to_string());
        let broken = environment.now();
        assert_eq!(next(&mut watch).await, None);
        pauses.push(environment.now().since(broken));
    }
    let steps = [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000].map(Duration::from_millis);
    for (pause, step) in pauses.iter().zip(steps) {
        // Timers are rounded to whole milliseconds.
        let slack = Duration::from_millis(1);
        assert!(
            *pause >= step.mul_f64(0.75) && *pause <= step + slack,
            "{pauses:?}"
        );
    }

    // A watch that has reported a change, or has lasted, is followed by a short pause.
    let given: fn(&MemoryRegistry) = |memory| memory.overwrite(KEY, "1");
    for (round, change) in [Some(given), None].into_iter().enumerate() {
        let hold = if change.is_some() {
            FIRST_STEP
        } else {
            LAST_STEP
        };
        let held = tokio::time::timeout(hold, watch.next()).await;
        assert!(held.is_err());
        if let Some(change) = change {
            change(&memory);
            assert_eq!(next(&mut watch).await, text("1"));
        }
        memory.break_watches();
        memory.overwrite(KEY, format!("after {round}"));
        let broken = environment.now();
        assert_eq!(next(&mut watch).await, text(&format!("after {round}")));
        let pause = environment.now().since(broken);
        assert!(pause <= FIRST_STEP + Duration::from_millis(1), "{pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn exchanges_continue_although_nobody_waits_for_them() {
    let (memory, timed) = start();
    memory.overwrite(KEY, "1");
    let delay = MemoryFault::Delay(LIMIT * 9 / 10);
    memory.inject(MemoryOperation::Get, delay);
    memory.inject(MemoryOperation::Watch, delay);
    let mut watch = follow(&timed);
    let mut seen = Vec::new();
    let begin = timed.environment().now();
    while timed.environment().now().since(begin) < 3 * LIMIT {
        // The caller stops waiting again and again, each time long before the exchange has ended.
        let waited = tokio::time::timeout(LIMIT / 20, watch.next()).await;
        seen.extend(waited.ok().map(|state| value(&state)));
        if timed.environment().now().since(begin) > 2 * LIMIT && seen.len() == 1 {
            memory.overwrite(KEY, "2");
        }
    }
    assert_eq!(seen, [text("1"), text("2")]);
    assert_eq!(memory.calls(MemoryOperation::Get), 1);
    assert_eq!(memory.calls(MemoryOperation::Watch), 1);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_is_waited_for() {
    let (memory, timed) = start();
    memory.set_away(true);
    let mut watch = follow(&timed);
    assert!(is_quiet(&mut watch).await);
    memory.overwrite(KEY, "1");
    memory.set_away(false);
    assert_eq!(next(&mut watch).await, text("1"));
    memory.set_refusing(true);
    assert!(is_quiet(&mut watch).await);
    memory.delete(KEY);
    memory.set_refusing(false);
    assert_eq!(next(&mut watch).await, None);
}

const AGE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn a_change_that_no_watch_reports_is_read() {
    let (memory, timed) = start();
    let environment = timed.environment().clone();
    for known in [false, true] {
        let read = timed.exchange(|backend| backend.read(KEY)).await.unwrap();
        memory.overwrite(KEY, "1");
        let mut watch = match known {
            false => follow(&timed),
            true => KeyWatch::after(timed.clone(), KEY.to_owned(), POLICY, read.revision),
        }
        .reread_every(AGE);
        assert_eq!(next(&mut watch).await, text("1"));
        for change in ["2", "3", ""] {
            assert!(is_quiet(&mut watch).await);
            memory.mute_watches();
            // Other changes occur meanwhile, so that the missing change is noticeable.
            memory.overwrite("other", change);
            let expected = match change {
                "" => {
                    memory.delete(KEY);
                    None
                }
                value => {
                    memory.overwrite(KEY, value);
                    text(value)
                }
            };
            let begin = environment.now();
            assert_eq!(next(&mut watch).await, expected);
            assert!(environment.now().since(begin) <= AGE);
            // Another watch has taken over.
            assert!(is_quiet(&mut watch).await);
            memory.overwrite(KEY, "new");
            let begin = environment.now();
            assert_eq!(next(&mut watch).await, text("new"));
            assert_eq!(environment.now(), begin);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_key_is_read_periodically_and_watched_once() {
    for present in [true, false] {
        let (memory, timed) = start();
        if present {
            memory.overwrite(KEY, "1");
        }
        let known = timed.exchange(|backend| backend.read(KEY)).await.unwrap();
        let fresh = follow(&timed);
        let after = KeyWatch::after(timed.clone(), KEY.to_owned(), POLICY, known.revision);
        for (watch, states) in [(fresh, 1), (after, usize::from(!present))] {
            let mut watch = watch.reread_every(AGE);
            for _ in 0..states {
                assert_eq!(next(&mut watch).await.is_some(), present);
            }
            let before = [MemoryOperation::Get, MemoryOperation::Watch].map(|it| memory.calls(it));
            // Changes of other keys must not be reported.
            for round in 0..10 {
                memory.overwrite("other", round.to_string());
                let quiet = tokio::time::timeout(LONG / 10, watch.next()).await;
                assert!(quiet.is_err(), "{quiet:?}");
            }
            let reads = memory.calls(MemoryOperation::Get) - before[0];
            assert!((60..=80).contains(&reads), "{reads}");
            assert!(memory.calls(MemoryOperation::Watch) <= before[1] + 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_beside_the_watch_that_fails_is_repeated_and_breaks_nothing() {
    for fault in [MemoryFault::Refuse, MemoryFault::LoseReply] {
        let (memory, timed) = start();
        memory.overwrite(KEY, "1");
        let mut watch = follow(&timed).reread_every(AGE);
        assert_eq!(next(&mut watch).await, text("1"));
        let idle = tokio::time::timeout(Duration::from_millis(1), watch.next());
        assert!(idle.await.is_err());
        memory.inject(MemoryOperation::Get, fault);
        memory.mute_watches();
        memory.delete(KEY);
        let begin = timed.environment().now();
        assert_eq!(next(&mut watch).await, None);
        let took = timed.environment().now().since(begin);
        assert!(took <= AGE + LIMIT + FIRST_STEP, "{took:?}");

        memory.inject(MemoryOperation::Get, fault);
        let before = memory.calls(MemoryOperation::Watch);
        assert!(is_quiet(&mut watch).await);
        assert_eq!(memory.calls(MemoryOperation::Watch), before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_the_watch_has_overtaken_gives_no_older_state() {
    let (memory, timed) = start();
    memory.overwrite(KEY, "1");
    let mut watch = follow(&timed).reread_every(AGE);
    assert_eq!(next(&mut watch).await, text("1"));
    memory.inject(MemoryOperation::Get, MemoryFault::DelayReply(LIMIT / 2));
    let read = memory.calls(MemoryOperation::Get);
    while memory.calls(MemoryOperation::Get) == read {
        let waited = tokio::time::timeout(LIMIT / 10, watch.next()).await;
        assert!(waited.is_err(), "{waited:?}");
    }
    memory.overwrite(KEY, "2");
    assert_eq!(next(&mut watch).await, text("2"));
    let opened = memory.calls(MemoryOperation::Watch);
    assert!(is_quiet(&mut watch).await);
    assert_eq!(memory.calls(MemoryOperation::Watch), opened);

    // A read that is older than the revision known when it was sent comes from a registry that has
    // gone back.
    let before = Listing {
        entries: Vec::new(),
        revision: Revision::new(1),
    };
    watch.has_reread(Ok(before), watch.known);
    assert_eq!(next(&mut watch).await, None);
}

/// Makes random changes and faults of a registry, and records every state of the key.
struct Trouble {
    memory: MemoryRegistry,
    random: fastrand::Rng,
    history: Vec<Option<String>>,
}

impl Trouble {
    fn change(&mut self) {
        if self.random.u8(..3) == 0 {
            self.memory.delete(KEY);
            self.history.push(None);
        } else {
            let value = self.history.len().to_string();
            self.memory.overwrite(KEY, value.clone());
            self.history.push(Some(value));
        }
    }

    fn disturb(&mut self) {
        let operation = match self.random.bool() {
            true => MemoryOperation::Get,
            false => MemoryOperation::Watch,
        };
        let delay = Duration::from_millis(self.random.u64(..1_500));
        match self.random.u8(..12) {
            0 => self.memory.break_watches(),
            1 => self.memory.compact(),
            2 => self.memory.set_away(self.random.bool()),
            3 => self.memory.set_refusing(self.random.bool()),
            4 => self.memory.inject(operation, MemoryFault::Refuse),
            5 => self.memory.inject(operation, MemoryFault::LoseRequest),
            6 => self.memory.inject(operation, MemoryFault::LoseReply),
            7 => self.memory.inject(operation, MemoryFault::FailReply),
            8 => self.memory.mute_watches(),
            9 | 10 => self
                .memory
                .inject(operation, MemoryFault::DelayReply(delay)),
            _ => self.memory.inject(operation, MemoryFault::Delay(delay)),
        }
    }
}

/// Returns the position of a state in the history, at `from` or later.
fn place(history: &[Option<String>], from: usize, state: &Option<String>) -> Option<usize> {
    let later = history.iter().skip(from).position(|past| past == state)?;
    Some(from + later)
}

#[tokio::test(start_paused = true)]
async fn no_state_is_older_than_the_one_before_and_the_last_is_the_present_one() {
    for seed in 0..300 {
        let (memory, timed) = start_with(seed);
        let mut trouble = Trouble {
            memory: memory.clone(),
            random: fastrand::Rng::with_seed(seed),
            history: vec![None],
        };
        // Every other run reads so often that replies are overtaken.
        let (age, quiet) = match seed % 2 {
            0 => (AGE, LONG),
            _ => (LIMIT / 2, LONG / 10),
        };
        let mut watch = follow(&timed).reread_every(age);
        let (mut at, mut last) = (0, None);
        let mut came = |trouble: &Trouble, state: KeyState| {
            let state = value(&state);
            at = place(&trouble.history, at, &state).unwrap_or_else(|| {
                panic!(
                    "seed {seed}: {state:?} is not after {at} in {:?}",
                    trouble.history
                )
            });
            last = Some(state);
        };
        for _ in 0..40 {
            match trouble.random.u8(..5) {
                0 | 1 => trouble.change(),
                2 => trouble.disturb(),
                _ => {
                    let patience = Duration::from_millis(trouble.random.u64(..3_000));
                    if let Ok(state) = tokio::time::timeout(patience, watch.next()).await {
                        came(&trouble, state);
                    }
                }
            }
        }
        memory.set_away(false);
        memory.set_refusing(false);
        while let Ok(state) = tokio::time::timeout(quiet, watch.next()).await {
            came(&trouble, state);
        }
        assert_eq!(last.as_ref(), trouble.history.last(), "seed {seed}");
    }
}

/// The previous registry keeps working, so that nothing breaks.
#[tokio::test(start_paused = true)]
async fn a_key_watch_follows_its_registry_at_every_stage() {
    for (operation, states) in [
        (MemoryOperation::Get, &["new"][..]),
        (MemoryOperation::Watch, &["old", "new"]),
        // No exchange is under way.
        (MemoryOperation::List, &["old", "new"]),
    ] {
        let environment = Simulation::new(7).environment();
        let [old, new] = [0; 2].map(|_| MemoryRegistry::new(&environment));
        let registry = old.registry();
        let timed = TimedRegistry::new(&environment, &registry, LIMIT);
        old.overwrite(KEY, "old");
        new.overwrite(KEY, "new");
        old.inject(operation, MemoryFault::Delay(LIMIT / 2));
        let mut watch = follow(&timed);
        let (heard, ()) = tokio::join!(
            async {
                let mut heard = Vec::new();
                while heard.len() < states.len() {
                    heard.extend(next(&mut watch).await);
                }
                heard
            },
            async {
                environment.sleep(LIMIT / 4).await;
                registry.follow_another(&new.registry());
                old.overwrite(KEY, "older");
            }
        );
        assert_eq!(heard, states, "{operation:?}");
        old.overwrite(KEY, "oldest");
        new.overwrite(KEY, "newer");
        assert_eq!(next(&mut watch).await, text("newer"));
        assert!(is_quiet(&mut watch).await);
    }
}
