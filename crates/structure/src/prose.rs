//! Checks the words of comments, documents, log messages and error texts: plain English, without
//! the phrases that `phrase.rs` lists.
//!
//! Files are cut into blocks (a run of comments, a string, a document), and blocks into paragraphs:
//! a phrase is found across lines, but not across a paragraph's end, nor in code or quoted text.

mod block;
mod literals;
mod paragraph;
mod phrase;
mod prose_files;
mod rust_blocks;
mod script_blocks;

pub(crate) use prose_files::ProseFiles;

use crate::prose::block::{Block, BlockKind};
use crate::prose::paragraph::paragraphs;
use crate::prose::phrase::phrases_to_avoid;
use crate::prose::rust_blocks::rust_blocks;
use crate::prose::script_blocks::script_blocks;
use crate::violation::{Rule, Violation};

/// `cargo fmt` wraps code here, but no comments.
const MAX_COMMENT_COLUMNS: usize = 100;

/// All violations, by file and line.
pub(crate) fn check_prose(files: &ProseFiles) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in files.iter() {
        let blocks = match blocks_of(path, text) {
            Ok(blocks) => blocks,
            Err(error) => {
                violations.push(Violation::new(Rule::Unreadable, error));
                continue;
            }
        };
        let mut found = blocks.iter().flat_map(wording).collect::<Vec<_>>();
        found.extend(blocks.iter().flat_map(|block| wide_comments(block, text)));
        found.sort_by_key(|(line, violation)| (*line, violation.rule));
        violations.extend(found.into_iter().map(|(line, violation)| {
            let text = format!("{path}:{line}: {}", violation.text);
            Violation::new(violation.rule, text)
        }));
    }
    violations
}

fn blocks_of(path: &str, text: &str) -> Result<Vec<Block>, String> {
    if path.ends_with(".rs") {
        rust_blocks(text, is_test_file(path))
            .map_err(|line| format!("{path}:{line}: cannot be split into tokens"))
    } else if path.ends_with(".md") {
        Ok(vec![Block::new(
            BlockKind::Document,
            (1..).zip(text.lines()),
        )])
    } else if path.ends_with(".go") || path.ends_with(".proto") {
        Ok(script_blocks(text, "//"))
    } else {
        Ok(script_blocks(text, "#"))
    }
}

/// The strings in test files are data, except for the messages of assertions.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn wording(block: &Block) -> Vec<(usize, Violation)> {
    let paragraphs = paragraphs(block);
    let found = paragraphs.iter().flat_map(phrases_to_avoid);
    found
        .map(|found| (found.line, Violation::new(Rule::Wording, found.message())))
        .collect()
}

/// Comments beyond the column limit. Tables, links and examples are not wrapped.
fn wide_comments(block: &Block, text: &str) -> Vec<(usize, Violation)> {
    if block.kind != BlockKind::Comment {
        return Vec::new();
    }
    let lines: Vec<_> = text.lines().collect();
    let mut violations = Vec::new();
    let mut in_code = false;
    for line in &block.lines {
        let columns = lines[line.number - 1].chars().count();
        let comment = line.text.trim();
        in_code ^= comment.starts_with("```");
        let is_unbreakable =
            comment.starts_with('|') || comment.contains("://") || !comment.contains(' ');
        if columns > MAX_COMMENT_COLUMNS && !in_code && !is_unbreakable {
            let text = format!("{columns} columns: wrap the comment at {MAX_COMMENT_COLUMNS}");
            violations.push((line.number, Violation::new(Rule::CommentWidth, text)));
        }
    }
    violations
}

#[cfg(test)]
mod tests;
