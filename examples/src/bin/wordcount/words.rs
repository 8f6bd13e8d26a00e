//! Defines what a word is. The grid and the single-threaded count share nothing else.

/// Longer runs are cut, as a word must fit into a message.
pub(crate) const MAX_WORD_BYTES: usize = 64 * 1024;

/// Returns the words of a text: its longest runs of letters and digits, exactly as written, cut
/// every [`MAX_WORD_BYTES`].
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = &rest[run_length(rest, false)..];
        if rest.is_empty() {
            return None;
        }
        let (word, after) = rest.split_at(run_length(rest, true));
        rest = after;
        Some(word)
    })
}

/// Whether a character is part of a word.
pub(crate) fn in_word(character: char) -> bool {
    character.is_alphanumeric()
}

/// Returns how many bytes at the start of a text consist only of characters in words, or only of
/// others.
fn run_length(text: &str, inside: bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        // Nearly all texts are mostly ASCII.
        let length = if byte.is_ascii() {
            if byte.is_ascii_alphanumeric() != inside {
                break;
            }
            1
        } else {
            match text[at..].chars().next() {
                Some(character) if in_word(character) == inside => character.len_utf8(),
                _ => break,
            }
        };
        if inside && at + length > MAX_WORD_BYTES {
            break;
        }
        at += length;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let text = " Straße_42, naïve—日本語 don't\n";
        let found: Vec<_> = words(text).collect();
        assert_eq!(found, ["Straße", "42", "naïve", "日本語", "don", "t"]);
        assert_eq!(words("").count() + words(" .-").count(), 0);
    }

    #[test]
    fn a_run_is_cut_at_a_character() {
        let text = format!("a{}", "é".repeat(MAX_WORD_BYTES / 2));
        let lengths: Vec<_> = words(&text).map(str::len).collect();
        assert_eq!(lengths, [MAX_WORD_BYTES - 1, 2]);
    }

    proptest! {
        #[test]
        fn the_fast_path_agrees_with_the_plain_rule(text in "\\PC*") {
            let plain: Vec<_> = text.split(|c| !in_word(c)).filter(|word| !word.is_empty()).collect();
            prop_assert_eq!(words(&text).collect::<Vec<_>>(), plain);
        }
    }
}
