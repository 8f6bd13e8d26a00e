//! Finds the string literals of a Rust file that people read, and where all its literals lie.

use proc_macro2::{Delimiter, Group, LineColumn, Literal, TokenStream, TokenTree};
use syn::Attribute;
use syn::parse::Parser;

use crate::compiled_in::compiled_in;
use crate::prose::block::{Block, BlockKind};

/// The literals of a file.
#[derive(Debug, Default)]
pub(crate) struct Literals {
    /// Strings that are read as prose.
    pub(crate) blocks: Vec<Block>,
    /// From the first position of each literal to the position after it.
    spans: Vec<(LineColumn, LineColumn)>,
}

impl Literals {
    /// The literals of a file. In a test file, strings are data, except for messages of assertions.
    pub(crate) fn of(tokens: TokenStream, is_test_file: bool) -> Self {
        let mut literals = Self::default();
        let data_arguments = if is_test_file { usize::MAX } else { 0 };
        literals.collect(tokens, is_test_file, data_arguments);
        literals
    }

    /// Whether a position is inside of a literal.
    pub(crate) fn contains(&self, position: LineColumn) -> bool {
        let inside = |&(start, end): &(LineColumn, LineColumn)| start <= position && position < end;
        self.spans.iter().any(inside)
    }

    /// Collects the literals of a group. The strings among its first `data_arguments` arguments,
    /// which commas separate, are data.
    fn collect(&mut self, tokens: TokenStream, in_tests: bool, data_arguments: usize) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        // Set by an attribute that leaves the next item out of every build but the tests.
        let mut next_is_test = false;
        let mut commas = 0;
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Literal(literal) => {
                    let is_data = next_is_test || commas < data_arguments;
                    self.add(literal, is_data);
                }
                TokenTree::Group(group) => {
                    if is_attribute(&tokens[..index], group) {
                        next_is_test |= !attribute_compiled_in(group);
                        if !is_doc(group) {
                            self.collect(group.stream(), in_tests, 0);
                        }
                        continue;
                    }
                    let in_tests = in_tests || next_is_test;
                    let data_arguments = match in_tests {
                        true => arguments_before_message(&tokens[..index]),
                        false => 0,
                    };
                    self.collect(group.stream(), in_tests, data_arguments);
                    if group.delimiter() == Delimiter::Brace {
                        next_is_test = false;
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == ',' => commas += 1,
                TokenTree::Punct(punct) if punct.as_char() == ';' => next_is_test = false,
                TokenTree::Punct(_) | TokenTree::Ident(_) => {}
            }
        }
    }

    fn add(&mut self, literal: &Literal, is_data: bool) {
        let (start, end) = (literal.span().start(), literal.span().end());
        self.spans.push((start, end));
        if let (false, Some(lines)) = (is_data, lines_of_string(&literal.to_string())) {
            let numbered = lines
                .iter()
                .map(|(line, text)| (start.line + line, &**text));
            self.blocks.push(Block::new(BlockKind::Literal, numbered));
        }
    }
}

/// The lines of a string of several words as its reader sees them, each with the number of source
/// lines before it. `None` for other literals.
fn lines_of_string(literal: &str) -> Option<Vec<(usize, String)>> {
    let (inner, raw) = match literal.strip_prefix('r') {
        Some(rest) => (rest.trim_matches('#'), true),
        None => (literal, false),
    };
    let inner = inner.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.trim().contains(' ') {
        return None;
    }
    let mut lines = Vec::new();
    for (number, line) in inner.split('\n').enumerate() {
        if raw {
            lines.push((number, line.to_owned()));
            continue;
        }
        let continued = line.strip_suffix('\\').unwrap_or(line);
        for shown in continued.split("\\n") {
            lines.push((number, shown.replace("\\\"", "\"")));
        }
    }
    Some(lines)
}

/// Whether a group in brackets is an attribute, by the tokens before it: `#` or `#!`.
fn is_attribute(before: &[TokenTree], group: &Group) -> bool {
    let is_marked = match before {
        [.., hash, bang] if is_punct(bang, '!') => is_punct(hash, '#'),
        [.., hash] => is_punct(hash, '#'),
        [] => false,
    };
    group.delimiter() == Delimiter::Bracket && is_marked
}

fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

/// Whether an attribute leaves its item in builds that are not tests.
fn attribute_compiled_in(group: &Group) -> bool {
    let hash = TokenTree::from(proc_macro2::Punct::new('#', proc_macro2::Spacing::Alone));
    let tokens = TokenStream::from_iter([hash, TokenTree::from(group.clone())]);
    // In a macro's definition it may not parse.
    let attributes = Attribute::parse_outer.parse2(tokens).unwrap_or_default();
    compiled_in(&attributes)
}

/// Doc comments become attributes too; they are read as comments.
fn is_doc(group: &Group) -> bool {
    let first = group.stream().into_iter().next();
    matches!(first, Some(TokenTree::Ident(name)) if name == "doc")
}

/// In tests: how many arguments come before the message of an assertion, a panic or an `expect`,
/// by the tokens before the group of its arguments.
fn arguments_before_message(before: &[TokenTree]) -> usize {
    let [.., first, second] = before else {
        return usize::MAX;
    };
    match (first, second) {
        (dot, TokenTree::Ident(name)) if is_punct(dot, '.') && name == "expect" => 0,
        (TokenTree::Ident(name), bang) if is_punct(bang, '!') => match &*name.to_string() {
            "panic" | "unreachable" => 0,
            "assert" | "debug_assert" => 1,
            "assert_eq" | "assert_ne" | "debug_assert_eq" | "debug_assert_ne" => 2,
            _ => usize::MAX,
        },
        _ => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: &str, is_test_file: bool) -> Vec<String> {
        let literals = Literals::of(code.parse().unwrap(), is_test_file);
        let text = |block: Block| {
            let lines: Vec<_> = block.lines.into_iter().map(|line| line.text).collect();
            lines.join("|")
        };
        literals.blocks.into_iter().map(text).collect()
    }

    #[test]
    fn strings_of_several_words_are_read() {
        let code = r##"
            /// Not this.
            #[must_use = "the guard unlocks"]
            fn f() { warn!(key = "x", "a log message"); g("a\" b", b"a b", 'c', r#"raw "text""#) }
        "##;
        let expected = [
            "the guard unlocks",
            "a log message",
            "a\" b",
            "raw \"text\"",
        ];
        assert_eq!(read(code, false), expected);
    }

    #[test]
    fn continued_lines_are_read_with_their_numbers() {
        let code = "const A: &str =\n\"one two \\\n   three\\nfour\";";
        let literals = Literals::of(code.parse().unwrap(), false);
        let lines = literals.blocks[0].lines.iter();
        let lines: Vec<_> = lines.map(|line| (line.number, line.text.trim())).collect();
        assert_eq!(lines, [(2, "one two"), (3, "three"), (3, "four")]);
    }

    #[test]
    fn strings_of_tests_are_data_but_for_the_messages_of_assertions() {
        let tests = r#"
            fn f() { g("a b"); assert!(h("a b"), "one {}", "two of it"); panic!("three of it"); }
            fn g() { assert_eq!("a b", "c d", "four of it"); x.expect("five of it"); y("c d"); }
        "#;
        let messages = [
            "one {}",
            "two of it",
            "three of it",
            "four of it",
            "five of it",
        ];
        assert_eq!(read(tests, true), messages);
        let code = "fn a() { f(\"in code\") }";
        let inside = format!("{code} #[cfg(test)] mod tests {{ {tests} }} {code}");
        let expected: Vec<_> = [&["in code"][..], &messages, &["in code"]].concat();
        assert_eq!(read(&inside, false), expected);
    }

    #[test]
    fn positions_in_literals_are_known() {
        let literals = Literals::of("f(\"//\") // x".parse().unwrap(), false);
        let inside = |column| literals.contains(LineColumn { line: 1, column });
        assert_eq!([1, 3, 6, 8].map(inside), [false, true, false, false]);
    }
}
