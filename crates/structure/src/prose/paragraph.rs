//! Splits prose into paragraphs, as Markdown has them: items of lists, cells of tables and headings
//! are paragraphs of their own, and code is left out.

use crate::prose::block::{Block, Line};

/// The form of a paragraph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ParagraphKind {
    #[default]
    Text,
    /// A heading, or a cell in the first row of a table.
    Title,
    /// A cell in another row of a table.
    Cell,
}

/// Text in which a phrase may continue on the next line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paragraph {
    pub(crate) lines: Vec<Line>,
    pub(crate) kind: ParagraphKind,
}

/// The paragraphs of a block.
pub(crate) fn paragraphs(block: &Block) -> Vec<Paragraph> {
    let mut reader = ParagraphReader::default();
    for (index, line) in block.lines.iter().enumerate() {
        let next = block.lines.get(index + 1);
        let before_rule = next.is_some_and(|next| is_table_rule(next.text.trim()));
        reader.read(line.number, line.text.trim(), before_rule);
    }
    reader.end_paragraph();
    reader.paragraphs
}

#[derive(Default)]
struct ParagraphReader {
    paragraphs: Vec<Paragraph>,
    current: Paragraph,
    in_code: bool,
}

impl ParagraphReader {
    fn read(&mut self, number: usize, text: &str, before_rule: bool) {
        let text = text.strip_prefix("> ").unwrap_or(text);
        if text.starts_with("```") {
            self.end_paragraph();
            self.in_code = !self.in_code;
        } else if self.in_code {
            self.read_code(number, text);
        } else if text.is_empty() || is_table_rule(text) || is_link_definition(text) {
            self.end_paragraph();
        } else if text.starts_with('|') {
            let kind = match before_rule {
                true => ParagraphKind::Title,
                false => ParagraphKind::Cell,
            };
            for cell in cells(text) {
                self.add_alone(number, cell, kind);
            }
        } else if let Some(heading) = heading(text) {
            self.add_alone(number, heading, ParagraphKind::Title);
        } else {
            let item = list_item(text);
            if item.is_some() {
                self.end_paragraph();
            }
            self.add(number, item.unwrap_or(text));
        }
    }

    /// Only the comments in an example are prose.
    fn read_code(&mut self, number: usize, text: &str) {
        if let Some(comment) = text.strip_prefix("// ") {
            self.add(number, comment);
        } else if let Some((_, comment)) = text.split_once(" // ") {
            self.add_alone(number, comment, ParagraphKind::Text);
        } else {
            self.end_paragraph();
        }
    }

    fn add(&mut self, number: usize, text: &str) {
        let text = text.to_owned();
        self.current.lines.push(Line { number, text });
    }

    fn add_alone(&mut self, number: usize, text: &str, kind: ParagraphKind) {
        self.end_paragraph();
        self.add(number, text);
        self.current.kind = kind;
        self.end_paragraph();
    }

    fn end_paragraph(&mut self) {
        let paragraph = std::mem::take(&mut self.current);
        if !paragraph.lines.is_empty() {
            self.paragraphs.push(paragraph);
        }
    }
}

fn heading(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches('#');
    (rest.len() < text.len()).then(|| rest.strip_prefix(' '))?
}

fn list_item(text: &str) -> Option<&str> {
    let marked = ["- ", "* ", "+ "]
        .iter()
        .find_map(|marker| text.strip_prefix(marker));
    marked.or_else(|| {
        let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let numbered = rest.len() < text.len() && text.len() - rest.len() <= 3;
        let item = rest
            .strip_prefix(". ")
            .or_else(|| rest.strip_prefix(") "))?;
        numbered.then_some(item)
    })
}

/// The line between the first row of a table and the others.
fn is_table_rule(text: &str) -> bool {
    text.starts_with('|') && text.contains('-') && text.chars().all(|c| "|-: ".contains(c))
}

fn is_link_definition(text: &str) -> bool {
    text.starts_with('[') && text.contains("]: ")
}

/// The cells of a row; a bar in code is no border.
fn cells(row: &str) -> Vec<&str> {
    let mut in_code = false;
    let cells = row.split(|c| {
        in_code ^= c == '`';
        c == '|' && !in_code
    });
    cells
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prose::block::BlockKind;

    fn split(text: &str) -> Vec<String> {
        let block = Block::new(BlockKind::Document, (1..).zip(text.lines()));
        let shown = |paragraph: Paragraph| {
            let lines: Vec<_> = paragraph.lines.iter().map(|line| &*line.text).collect();
            let mark = match paragraph.kind {
                ParagraphKind::Text => "",
                ParagraphKind::Title => "title ",
                ParagraphKind::Cell => "cell ",
            };
            let number = paragraph.lines[0].number;
            format!("{number} {mark}{}", lines.join("|"))
        };
        paragraphs(&block).into_iter().map(shown).collect()
    }

    #[test]
    fn items_and_headings_are_paragraphs() {
        let text = "# Head\nOne\ntwo.\n\n- Item\n  more\n12. Other\n[a]: b\n> Quote\n";
        let expected = [
            "1 title Head",
            "2 One|two.",
            "5 Item|more",
            "7 Other",
            "9 Quote",
        ];
        assert_eq!(split(text), expected);
    }

    #[test]
    fn cells_are_paragraphs() {
        let text = "| a | b |\n|---|:-:|\n| one `x|y` | two |\n";
        let expected = ["1 title a", "1 title b", "3 cell one `x|y`", "3 cell two"];
        assert_eq!(split(text), expected);
    }

    #[test]
    fn of_code_only_the_comments_are_read() {
        let text = "Text:\n```\n// One\n// two.\nlet x; // Three.\nlet y = \"a\";\n```\nEnd\n";
        assert_eq!(split(text), ["1 Text:", "3 One|two.", "5 Three.", "8 End"]);
    }

    #[test]
    fn numbers_within_a_sentence_begin_no_item() {
        assert_eq!(split("From\n2024. On\n"), ["1 From|2024. On"]);
    }
}
