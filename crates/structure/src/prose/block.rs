//! A piece of prose in adjacent lines of a file: the unit that is split into paragraphs.

/// Where a piece of prose comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockKind {
    Comment,
    Document,
    /// A string of a program or script: a log message, an error text, or an option's help.
    Literal,
}

/// One line of prose, without the markers of its comment or string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) text: String,
}

/// Prose that reads as one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) kind: BlockKind,
    pub(crate) lines: Vec<Line>,
}

impl Block {
    pub(crate) fn new<'a>(
        kind: BlockKind,
        lines: impl IntoIterator<Item = (usize, &'a str)>,
    ) -> Self {
        let owned = |(number, text): (usize, &str)| Line {
            number,
            text: text.to_owned(),
        };
        Self {
            kind,
            lines: lines.into_iter().map(owned).collect(),
        }
    }
}
