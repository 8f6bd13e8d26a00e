//! Prints the result, and checks it against a single-threaded count.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use examples::line;
use foldhash::fast::RandomState;

use crate::collect::Outcome;
use crate::messages::Tally;
use crate::plan::Source;
use crate::words::words;

/// The number of words in the table.
const TOP: usize = 20;

/// Prints the most frequent words, how much was read, and how fast.
pub(crate) fn print(outcome: &Outcome, time: Duration) {
    let mut all: Vec<_> = outcome
        .counts
        .iter()
        .flat_map(|counts| counts.iter())
        .collect();
    let words: u64 = all.iter().map(|(_, count)| count).sum();
    let order = |a: &(&str, u64), b: &(&str, u64)| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0));
    if all.len() > TOP {
        all.select_nth_unstable_by(TOP, order);
        all.truncate(TOP);
    }
    all.sort_unstable_by(order);
    line(format_args!("{:>4}  {:>13}  word", "rank", "count"));
    for (rank, (word, count)) in (1..).zip(all) {
        line(format_args!(
            "{rank:>4}  {:>13}  {}",
            grouped(count),
            shortened(word)
        ));
    }
    let Tally {
        files,
        skipped,
        bytes,
    } = outcome.tally;
    let per_second = words as f64 / time.as_secs_f64();
    line(format_args!(
        "files: {} ({skipped} more are not UTF-8), bytes: {}, words: {}, words/s: {}",
        grouped(files),
        grouped(bytes),
        grouped(words),
        grouped(per_second as u64),
    ));
}

/// Counts again with a single thread, and compares. Returns whether everything is equal.
pub(crate) fn verify(outcome: &Outcome, files: &[Source], time: Duration) -> std::io::Result<bool> {
    let start = Instant::now();
    let (expected, tally) = count(files)?;
    let alone = start.elapsed();
    line(format_args!(
        "time: {:.2} s by {} readers and counters, {:.2} s by a single thread ({:.2} times)",
        time.as_secs_f64(),
        outcome.members,
        alone.as_secs_f64(),
        time.as_secs_f64() / alone.as_secs_f64(),
    ));
    let mut distinct = 0;
    let mut is_equal = tally == outcome.tally;
    for (word, count) in outcome.counts.iter().flat_map(|counts| counts.iter()) {
        distinct += 1;
        let wanted = expected.get(word).copied().unwrap_or(0);
        if wanted != count {
            is_equal = false;
            eprintln!(
                "{:?}: {count} by the grid, {wanted} by a single thread",
                shortened(word)
            );
        }
    }
    is_equal &= distinct == expected.len();
    let words: u64 = expected.values().sum();
    if is_equal {
        line(format_args!(
            "verified: {words} words, {distinct} distinct, equal to a single-threaded count"
        ));
    } else {
        line(format_args!(
            "differs: a single-threaded count has {words} words, {} distinct, in {} files",
            expected.len(),
            tally.files,
        ));
    }
    Ok(is_equal)
}

type Expected = HashMap<Box<str>, u64, RandomState>;

fn count(files: &[Source]) -> std::io::Result<(Expected, Tally)> {
    let mut counts = Expected::default();
    let mut tally = Tally::default();
    for file in files {
        let Ok(text) = String::from_utf8(fs::read(&file.path)?) else {
            tally.skipped += 1;
            continue;
        };
        tally.files += 1;
        tally.bytes += text.len() as u64;
        for word in words(&text) {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.into(), 1)),
            }
        }
    }
    Ok((counts, tally))
}

/// Returns at most as many characters of a word as fit on a line.
fn shortened(word: &str) -> String {
    const MAX_CHARACTERS: usize = 40;
    match word.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", &word[..end]),
        None => word.to_owned(),
    }
}

/// Formats `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_words_shortened() {
        let numbers = [0, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(shortened("word"), "word");
        assert_eq!(shortened(&"é".repeat(41)), format!("{}…", "é".repeat(40)));
    }
}
