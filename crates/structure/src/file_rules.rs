//! Checks that files say what they are for, and stay short.

use crate::compiled_in::compiled_in;
use crate::sources::Sources;
use crate::violation::{Rule, Violation};

/// Longer files are hard to navigate. The tests in a file do not count.
const MAX_LINES: usize = 600;

/// Returns the files of a member that are too long or do not begin with `//!`.
pub(crate) fn file_shapes(sources: &Sources, member: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in sources.rust_files(&format!("{member}/src")) {
        let length = lines_without_tests(text);
        if length > MAX_LINES && !is_test_file(path) {
            let text = format!("{path}: {length} lines without tests, {MAX_LINES} are allowed");
            violations.push(Violation::new(Rule::FileLength, text));
        }
        if !text.starts_with("//!") {
            let text = format!("{path}: the first line does not begin with //!");
            violations.push(Violation::new(Rule::FileDocs, text));
        }
    }
    violations
}

/// By convention, a module named `tests`, or below one, is compiled for tests only.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn lines_without_tests(text: &str) -> usize {
    let total = text.lines().count();
    let items = syn::parse_file(text).map_or(Vec::new(), |file| file.items);
    let in_tests = items.iter().filter_map(|item| {
        let syn::Item::Mod(module) = item else {
            return None;
        };
        let (brace, _) = module.content.as_ref()?;
        let first = module.attrs.first()?.pound_token.spans[0].start().line;
        let last = brace.span.close().end().line;
        (!compiled_in(&module.attrs)).then_some(last - first + 1)
    });
    total - in_tests.sum::<usize>()
}
