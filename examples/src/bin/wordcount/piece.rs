//! Pieces of a large file, which is cut anywhere but read so that each word belongs to exactly one
//! piece.

use std::io::{self, Read, Seek, SeekFrom};

use crate::words::in_word;

/// The length of the longest UTF-8 character, in bytes.
const MAX_CHARACTER: u64 = 4;
/// How many bytes to read at a time beyond the end of a piece, to complete its last word.
const STEP: u64 = 4 * 1024;

/// Reads the text of the words that begin within `length` bytes from `offset`, in a source that is
/// entirely UTF-8. A character begins where its first byte is.
pub(crate) fn read_piece(
    source: &mut (impl Read + Seek),
    offset: u64,
    length: u64,
) -> io::Result<String> {
    let begin = offset.saturating_sub(MAX_CHARACTER);
    source.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    read_on(source, offset - begin + length + MAX_CHARACTER, &mut bytes)?;

    let mut start = position(&bytes, offset - begin);
    let limit = position(&bytes, offset - begin + length);
    // A word that continues across the offset belongs to a previous piece.
    if start > 0 && in_word(character_at(&bytes, previous(&bytes, start))?) {
        while start < limit && in_word(character_at(&bytes, start)?) {
            start = next(&bytes, start);
        }
    }
    let mut end = limit;
    // A word that continues across the end belongs to this piece, unless it is the one just
    // skipped.
    if start < end && in_word(character_at(&bytes, previous(&bytes, end))?) {
        loop {
            // Needs one character more than the one being looked at, or the end of the file.
            if bytes.len() - end < MAX_CHARACTER as usize {
                read_on(source, STEP, &mut bytes)?;
            }
            if end == bytes.len() || !in_word(character_at(&bytes, end)?) {
                break;
            }
            end = next(&bytes, end);
        }
    }
    bytes.truncate(end);
    bytes.drain(..start.min(end));
    String::from_utf8(bytes).map_err(|_| not_utf8())
}

/// Whether a source is entirely UTF-8. Holds little of it at a time.
pub(crate) fn is_utf8(source: &mut impl Read) -> io::Result<bool> {
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        read_on(source, 16 * STEP, &mut bytes)?;
        if bytes.len() == before {
            return Ok(bytes.is_empty());
        }
        match std::str::from_utf8(&bytes) {
            Ok(_) => bytes.clear(),
            // A character continues in the next bytes.
            Err(error) if error.error_len().is_none() => drop(bytes.drain(..error.valid_up_to())),
            Err(_) => return Ok(false),
        }
    }
}

fn read_on(source: &mut impl Read, length: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    source.take(length).read_to_end(bytes).map(drop)
}

/// Returns the position of the first character that begins at or after `at`.
fn position(bytes: &[u8], at: u64) -> usize {
    let mut at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    while is_inside(bytes, at) {
        at += 1;
    }
    at
}

fn previous(bytes: &[u8], mut at: usize) -> usize {
    at = at.saturating_sub(1);
    while at > 0 && is_inside(bytes, at) {
        at -= 1;
    }
    at
}

fn next(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while is_inside(bytes, at) {
        at += 1;
    }
    at
}

/// Whether a byte is not the first one of its character.
fn is_inside(bytes: &[u8], at: usize) -> bool {
    bytes
        .get(at)
        .is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000)
}

fn character_at(bytes: &[u8], at: usize) -> io::Result<char> {
    let character = bytes
        .get(at..next(bytes, at).min(bytes.len()))
        .unwrap_or_default();
    std::str::from_utf8(character)
        .ok()
        .and_then(|text| text.chars().next())
        .ok_or_else(not_utf8)
}

fn not_utf8() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file is no longer UTF-8")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::words::words;
    use proptest::prelude::*;

    fn words_of_pieces(text: &str, length: u64) -> Vec<String> {
        let mut source = Cursor::new(text.as_bytes());
        (0..text.len() as u64)
            .step_by(length as usize)
            .flat_map(|offset| {
                let piece = read_piece(&mut source, offset, length).unwrap();
                words(&piece).map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }

    proptest! {
        #[test]
        fn each_word_is_in_one_piece(text in "([a-cß𝒳日]|[ .—𝄞]|\\PC){0,60}", length in 1..20_u64) {
            let whole: Vec<_> = words(&text).map(str::to_owned).collect();
            prop_assert_eq!(words_of_pieces(&text, length), whole);
        }

        #[test]
        fn utf8_matches_std(mut bytes in "\\PC{0,20}".prop_map(String::into_bytes), more: Vec<u8>) {
            bytes.extend(more);
            let detected = is_utf8(&mut Cursor::new(&bytes)).unwrap();
            prop_assert_eq!(detected, std::str::from_utf8(&bytes).is_ok());
        }
    }

    #[test]
    fn a_word_may_be_longer_than_a_piece_and_a_step() {
        let text = format!("x {} y", "é".repeat(STEP as usize * 2));
        let whole: Vec<_> = words(&text).map(str::to_owned).collect();
        assert_eq!(words_of_pieces(&text, 5), whole);
    }

    #[test]
    fn utf8_is_detected_across_reads() {
        let mut bytes = format!("a{}", "é".repeat(STEP as usize * 20)).into_bytes();
        assert!(is_utf8(&mut Cursor::new(&bytes)).unwrap());
        bytes.pop();
        assert!(!is_utf8(&mut Cursor::new(&bytes)).unwrap());
    }
}
