//! The prose of files that are read line by line: scripts, the Makefile, manifests, proto files and
//! the Go programs.

use crate::prose::block::{Block, BlockKind};

/// The beginning of a text in a line of a script or manifest, up to the last quotation mark.
const STRINGS: [&str; 3] = ["echo \"", "description = \"", "reason = \""];

/// The comments that `marker` opens. In scripts and manifests also the help texts of make targets
/// (`target: ## help`), the output of `echo`, descriptions and reasons.
pub(crate) fn script_blocks(text: &str, marker: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut comment: Vec<(usize, &str)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(rest) = line.trim_start().strip_prefix(marker)
            && !rest.starts_with('!')
        {
            comment.push((number, rest.strip_prefix(' ').unwrap_or(rest)));
            continue;
        }
        if !comment.is_empty() {
            blocks.push(Block::new(BlockKind::Comment, comment.drain(..)));
        }
        if let Some((_, rest)) = line.split_once(&format!(" {marker} ")) {
            blocks.push(Block::new(BlockKind::Comment, [(number, rest)]));
        }
        if marker == "#" {
            let help = line
                .split_once(": ")
                .and_then(|(_, rest)| rest.split_once("## "));
            let strings = STRINGS.iter().filter_map(|before| {
                let (_, rest) = line.split_once(before)?;
                rest.rsplit_once('"').map(|(text, _)| text)
            });
            for text in help.map(|(_, text)| text).into_iter().chain(strings) {
                blocks.push(Block::new(BlockKind::Literal, [(number, text)]));
            }
        }
    }
    if !comment.is_empty() {
        blocks.push(Block::new(BlockKind::Comment, comment));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, marker: &str) -> Vec<String> {
        let shown = |block: Block| {
            let lines: Vec<_> = block.lines.iter().map(|line| &*line.text).collect();
            lines.join("|")
        };
        script_blocks(text, marker).into_iter().map(shown).collect()
    }

    #[test]
    fn comments_help_texts_and_output_are_read() {
        let script = "#!/bin/sh\n# One,\n# two.\nx: y ## Three\n\t@echo \"four $x\" >&2\n\
            a=b # Five\ndescription = \"Six\"\n";
        assert_eq!(
            read(script, "#"),
            ["One,|two.", "Three", "four $x", "Five", "Six"]
        );
    }

    #[test]
    fn other_markers_are_known() {
        let proto = "// One.\nmessage A {\n  // Two.\n  string b = 1; // Three.\n  # No.\n}\n";
        assert_eq!(read(proto, "//"), ["One.", "Two.", "Three."]);
    }
}
