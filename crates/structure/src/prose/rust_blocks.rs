//! The prose of a Rust file: its comments, and its strings of several words.

use proc_macro2::{LineColumn, TokenStream};

use crate::prose::block::{Block, BlockKind, Line};
use crate::prose::literals::Literals;

/// The comments and strings of a file. Fails with the line that cannot be split into tokens.
pub(crate) fn rust_blocks(text: &str, is_test_file: bool) -> Result<Vec<Block>, usize> {
    let tokens = text.parse::<TokenStream>();
    let tokens = tokens.map_err(|error| error.span().start().line)?;
    let literals = Literals::of(tokens, is_test_file);
    let mut blocks = comments(text, &literals);
    blocks.extend(literals.blocks);
    Ok(blocks)
}

/// The comments, one block per run of lines with the same marker. A comment behind code is a block
/// of its own.
fn comments(text: &str, literals: &Literals) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // The line and marker by which the next comment continues the last block.
    let mut continued = None;
    for (number, line) in (1..).zip(text.lines()) {
        let Some(start) = comment_start(number, line, literals) else {
            continue;
        };
        let (code, comment) = line.split_at(start);
        let marker = ["///", "//!", "//"]
            .into_iter()
            .find(|marker| comment.starts_with(marker))
            .unwrap_or_default();
        let comment = &comment[marker.len()..];
        let line = Line {
            number,
            text: comment.strip_prefix(' ').unwrap_or(comment).to_owned(),
        };
        let alone = code.trim().is_empty();
        match blocks.last_mut() {
            Some(block) if alone && continued == Some((number, marker)) => block.lines.push(line),
            _ => blocks.push(Block {
                kind: BlockKind::Comment,
                lines: vec![line],
            }),
        }
        continued = alone.then_some((number + 1, marker));
    }
    blocks
}

/// The byte at which a line's comment starts.
fn comment_start(number: usize, line: &str, literals: &Literals) -> Option<usize> {
    let mut slashes = line.match_indices("//").map(|(byte, _)| byte);
    slashes.find(|&byte| {
        let column = line[..byte].chars().count();
        !literals.contains(LineColumn {
            line: number,
            column,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: &str) -> Vec<(usize, String)> {
        let blocks = rust_blocks(code, true).unwrap().into_iter();
        let shown = |block: Block| {
            let lines: Vec<_> = block.lines.iter().map(|line| &*line.text).collect();
            (block.lines[0].number, lines.join("|"))
        };
        blocks.map(shown).collect()
    }

    #[test]
    fn runs_of_comments_are_blocks() {
        let code = "//! File,\n//! more.\n\n/// Item.\n///   Indented.\n// Other.\n\
            fn f() {} // Behind.\n// After.\n";
        let expected = [
            (1, "File,|more."),
            (4, "Item.|  Indented."),
            (6, "Other."),
            (7, "Behind."),
            (8, "After."),
        ];
        assert_eq!(
            read(code),
            expected.map(|(line, text)| (line, text.to_owned()))
        );
    }

    #[test]
    fn slashes_in_strings_are_no_comments() {
        let code =
            "const A: &str = \"http://a\"; // é // One.\nconst B: &str = r#\"\n// No.\n\"#;\n";
        assert_eq!(read(code), [(1, "é // One.".to_owned())]);
    }

    #[test]
    fn files_that_are_not_rust_are_refused() {
        assert!(rust_blocks("fn f() {\n  \"open\n", false).is_err());
    }
}
