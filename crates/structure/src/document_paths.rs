//! Checks that the documents name only source files and folders that exist.

use crate::sources::{DOCUMENTS, Sources};
use crate::violation::{Rule, Violation};

/// The folders that paths in documents are relative to.
const ROOTS: [&str; 2] = ["", "crates/actorgrid/src/"];

/// Returns the paths in backticks at which there is neither a file nor a folder.
///
/// In a table row that begins with a folder, paths may be relative to that folder.
pub(crate) fn missing_paths(sources: &Sources) -> Vec<Violation> {
    let mut violations = Vec::new();
    for document in DOCUMENTS {
        let text = sources.text(document).unwrap_or_default();
        for (number, line) in (1..).zip(text.lines()) {
            let folder = folder_of_row(line).unwrap_or_default();
            for path in paths(line) {
                let exists = ROOTS.iter().any(|root| {
                    sources.has_path(&format!("{root}{path}"))
                        || sources.has_path(&format!("{root}{folder}{path}"))
                });
                if !exists {
                    let text = format!("{document}:{number}: {path} does not exist");
                    violations.push(Violation::new(Rule::DocumentPath, text));
                }
            }
        }
    }
    violations
}

/// Returns the texts in backticks of a line that look like the path of a source file or a folder.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|text| {
        let is_path = text.ends_with(".rs") || text.ends_with('/');
        let belongs = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        is_path && text.len() > 1 && !text.starts_with('/') && text.chars().all(belongs)
    })
}

/// Returns the folder that a table row begins with.
fn folder_of_row(line: &str) -> Option<&str> {
    let (cell, _) = line.strip_prefix("| `")?.split_once('`')?;
    cell.ends_with('/').then_some(cell)
}
