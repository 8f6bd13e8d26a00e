//! The phrases that plain English does without, and how they are found in a paragraph.
//!
//! To add one, add a line to [`PHRASES`]: only phrases that are wrong wherever they appear, as the
//! check has no list of exceptions by place.

use crate::prose::paragraph::{Paragraph, ParagraphKind};

/// A phrase to avoid.
struct Phrase {
    /// Its words in lower case, with `_` between them: `a/b` is either word, and `a/b?` may be
    /// absent.
    words: &'static str,
    /// Words that make it an idiom when they follow, written likewise.
    unless_before: &'static [&'static str],
    /// The replacement to suggest.
    instead: &'static str,
}

const PHRASES: &[Phrase] = &[
    Phrase {
        words: "whoever",
        unless_before: &[],
        instead: "name the actor: `the caller that`, `any peer that`",
    },
    Phrase {
        words: "mend/mends/mended/mending",
        unless_before: &[],
        instead: "`fix`, `repair`",
    },
    Phrase {
        words: "stand/stands/stood",
        unless_before: &["for", "in_for", "out", "still"],
        instead: "`is`, `is stored`, `appears`, `holds`, `stops`",
    },
    Phrase {
        words: "is/are/was/were_said",
        unless_before: &[],
        instead: "`is reported`, `is stated`",
    },
    Phrase {
        words: "has/have/had_it_that",
        unless_before: &[],
        instead: "`says that`, `requires that`",
    },
    Phrase {
        words: "is/are/was/were/be/been/being_not/never/already/also/only/then?_told",
        unless_before: &["to", "from", "apart", "otherwise"],
        instead: "`is reported`, `is notified`, `receives`, `learns`",
    },
    Phrase {
        words: "in_vain",
        unless_before: &[],
        instead: "`without effect`, or the failure itself",
    },
    Phrase {
        words: "at_hand",
        unless_before: &[],
        instead: "`available`",
    },
];

const WHAT_INSTEAD: &str = "begin with the subject or a verb: `The ...`, `Returns ...`";

/// A phrase to avoid and where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FoundPhrase {
    pub(crate) line: usize,
    words: String,
    instead: &'static str,
}

impl FoundPhrase {
    pub(crate) fn message(&self) -> String {
        format!("\"{}\": write instead: {}", self.words, self.instead)
    }
}

/// The phrases to avoid in a paragraph.
pub(crate) fn phrases_to_avoid(paragraph: &Paragraph) -> Vec<FoundPhrase> {
    let text = Text::of(paragraph);
    let mut found = Vec::new();
    for first in 0..text.words.len() {
        if text.opens_with_what(first, paragraph.kind) {
            found.push(text.found(first, first + 1, WHAT_INSTEAD));
        }
        for phrase in PHRASES {
            if let Some(after) = text.phrase_end(first, phrase) {
                found.push(text.found(first, after, phrase.instead));
            }
        }
    }
    found
}

/// A word and its place in the characters of its text.
struct Word {
    text: String,
    start: usize,
    end: usize,
}

/// A paragraph without its code and quotations.
struct Text {
    chars: Vec<char>,
    /// The line of each character.
    lines: Vec<usize>,
    words: Vec<Word>,
}

impl Text {
    fn of(paragraph: &Paragraph) -> Self {
        let mut text = Self {
            chars: Vec::new(),
            lines: Vec::new(),
            words: Vec::new(),
        };
        for line in &paragraph.lines {
            text.chars.extend(line.text.trim().chars());
            text.chars.push(' ');
            text.lines.resize(text.chars.len(), line.number);
        }
        text.blank_out('`');
        text.blank_out('"');
        text.split_words();
        text
    }

    /// Replaces what is between two marks, and the marks, by a character that is neither part of a
    /// word nor a space. A mark without a partner is left.
    fn blank_out(&mut self, mark: char) {
        let places = self.chars.iter().enumerate();
        let places = places.filter(|(_, c)| **c == mark).map(|(place, _)| place);
        let places: Vec<_> = places.collect();
        for pair in places.chunks_exact(2) {
            self.chars[pair[0]..=pair[1]].fill(BLANK);
        }
    }

    fn split_words(&mut self) {
        let in_word = |c: char| c.is_alphanumeric() || "_-'’".contains(c);
        let mut start = None;
        for (place, &c) in self.chars.iter().enumerate() {
            match (in_word(c), start) {
                (true, None) => start = Some(place),
                (false, Some(from)) => {
                    self.words.push(Word {
                        text: self.chars[from..place].iter().collect(),
                        start: from,
                        end: place,
                    });
                    start = None;
                }
                _ => {}
            }
        }
    }

    /// The word after the last of a phrase that begins with the word `first`.
    fn phrase_end(&self, first: usize, phrase: &Phrase) -> Option<usize> {
        let after = self.matched(first, phrase.words)?;
        let mut idioms = phrase.unless_before.iter();
        let is_idiom =
            idioms.any(|rest| self.adjacent(after) && self.matched(after, rest).is_some());
        (!is_idiom).then_some(after)
    }

    fn matched(&self, first: usize, words: &str) -> Option<usize> {
        let mut next = first;
        for slot in words.split('_') {
            let (choices, optional) = match slot.strip_suffix('?') {
                Some(choices) => (choices, true),
                None => (slot, false),
            };
            let here = self.words.get(next).map(|word| word.text.to_lowercase());
            let fits = here.is_some_and(|word| choices.split('/').any(|choice| choice == word));
            if fits && (next == first || self.adjacent(next)) {
                next += 1;
            } else if !optional {
                return None;
            }
        }
        Some(next)
    }

    /// Whether only spaces separate a word from the one before it.
    fn adjacent(&self, word: usize) -> bool {
        let (Some(before), Some(word)) = (self.words.get(word - 1), self.words.get(word)) else {
            return false;
        };
        let between = &self.chars[before.end..word.start];
        between.iter().all(|c| c.is_whitespace())
    }

    /// Whether the word opens a sentence with "What" that is no question. Titles may open so, and
    /// links, whose texts are titles. At the beginning of a text lower case counts as well; a cell
    /// need not be a sentence.
    fn opens_with_what(&self, word: usize, kind: ParagraphKind) -> bool {
        let Word { text, start, end } = &self.words[word];
        let before = &self.chars[..*start];
        let opens_text = kind == ParagraphKind::Text && before.iter().all(|c| " *_(".contains(*c));
        let is_what = text == "What" || (opens_text && text == "what");
        let is_title = kind == ParagraphKind::Title || before.ends_with(&['[']);
        is_what && !is_title && self.words.len() > word + 1 && !self.is_question(*end)
    }

    /// Whether the sentence that continues at `from` ends with a question mark.
    fn is_question(&self, from: usize) -> bool {
        let mut rest = self.chars[from..].iter().zip(&self.chars[from + 1..]);
        let end = rest.find(|(c, next)| {
            let at_end = next.is_whitespace() || ")]*_\"".contains(**next) || **next == BLANK;
            ".!?".contains(**c) && at_end
        });
        end.is_some_and(|(c, _)| *c == '?')
    }

    fn found(&self, first: usize, after: usize, instead: &'static str) -> FoundPhrase {
        let words = &self.words[first..after];
        let texts: Vec<_> = words.iter().map(|word| &*word.text).collect();
        FoundPhrase {
            line: self.lines[words[0].start],
            words: texts.join(" "),
            instead,
        }
    }
}

/// Replaces code and quotations, whose words are not the author's.
const BLANK: char = '\u{fffc}';

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prose::block::Line;

    fn found(text: &str) -> Vec<String> {
        let lines = (1..).zip(text.lines());
        let line = |(number, text): (usize, &str)| Line {
            number,
            text: text.to_owned(),
        };
        let paragraph = Paragraph {
            lines: lines.map(line).collect(),
            kind: ParagraphKind::Text,
        };
        let found = phrases_to_avoid(&paragraph).into_iter();
        found.map(|f| format!("{} {}", f.line, f.words)).collect()
    }

    const AVOIDED: &[(&str, &str)] = &[
        ("What the peer has sent.", "1 What"),
        ("Held. What is left\nis dropped. Why?", "1 What"),
        ("what the registry knows", "1 what"),
        ("(What comes later.)", "1 What"),
        ("**What to do.**", "1 What"),
        ("Drops the lock: Whoever\nwaits is woken.", "1 Whoever"),
        ("what is this? And whoever asks", "1 whoever"),
        ("Mends the index.", "1 Mends"),
        ("It was mended.", "1 mended"),
        ("The watch stands.", "1 stands"),
        ("It never came to stand.", "1 stand"),
        ("It stood\nfor itself, and stood.", "2 stood"),
        ("All that\nis said about it", "2 is said"),
        ("The rule has it that", "1 has it that"),
        ("The caller is\ntold so.", "1 is told"),
        ("They have not been told.", "1 been told"),
        ("It is never told that.", "1 is never told"),
        ("Tried in vain.", "1 in vain"),
        ("The data at hand.", "1 at hand"),
    ];

    #[test]
    fn phrases_are_found() {
        for (text, expected) in AVOIDED {
            assert_eq!(found(text), [*expected], "{text}");
        }
    }

    const ALLOWED: &[&str] = &[
        "What happens if the peer is gone? It is asked again.",
        "Gone. (What now?) Then again.",
        "What is `a.b` for?",
        "The table \"What a caller sees\" lists them.",
        "Reports what it found, and what is left.",
        "What",
        "`What it is` is a name.",
        "See [What a caller sees](#what-a-caller-sees).",
        "A zero stands for none, and B stands in for C.",
        "It does not stand out, and time stands still.",
        "The code `is told` is old, and so is \"is said\".",
        "It understands. A stand-in, an outstanding call, and has_it_that.",
        "Whatever the order is, the caller says it.",
        "It is, told by its name, a key.",
        "The caller is told apart by its id, and waits unless it is told otherwise.",
        "It runs until it is told to stop, which cannot be told from a defect.",
        "The `x\" and \"y` are strings; so is that.",
        "It says that, and tells them so.",
    ];

    #[test]
    fn all_else_is_allowed() {
        for text in ALLOWED {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn titles_may_open_with_what() {
        let lines = vec![Line {
            number: 1,
            text: "What a caller sees".to_owned(),
        }];
        let kind = ParagraphKind::Title;
        assert_eq!(phrases_to_avoid(&Paragraph { lines, kind }), []);
    }

    #[test]
    fn the_message_names_words_and_replacement() {
        let lines = vec![Line {
            number: 7,
            text: "Data at hand".to_owned(),
        }];
        let kind = ParagraphKind::Text;
        let found = phrases_to_avoid(&Paragraph { lines, kind });
        assert_eq!(
            found[0].message(),
            "\"at hand\": write instead: `available`"
        );
    }
}
