//! The check on whole files of each kind.

use super::*;

fn found(path: &str, text: &str) -> Vec<String> {
    let violations = check_prose(&ProseFiles::of(&[(path, text)])).into_iter();
    let short = |violation: Violation| {
        let place = violation.text.split(": write instead").next();
        place.unwrap_or_default().to_owned()
    };
    violations.map(short).collect()
}

#[test]
fn comments_documents_and_strings_are_read() {
    let code = "\
//! The peer, as it
//! is told.

/// What it holds.
fn f() {
    // Mended later. What for?
    warn!(\"the key stands in the registry\");
}
";
    let expected = [
        "a.rs:2: \"is told\"",
        "a.rs:4: \"What\"",
        "a.rs:6: \"Mended\"",
        "a.rs:7: \"stands\"",
    ];
    assert_eq!(found("a.rs", code), expected);
    let document = "# What it is\n\n| x |\n|---|\n| Whoever asks |\n";
    assert_eq!(found("a.md", document), ["a.md:5: \"Whoever\""]);
    assert_eq!(
        found("Makefile", "fix: ## Mend it\n"),
        ["Makefile:1: \"Mend\""]
    );
    assert_eq!(
        found("a.proto", "// What we add.\n"),
        ["a.proto:1: \"What\""]
    );
}

#[test]
fn strings_in_tests_are_data() {
    let code = "//! Tests.\nfn f() { say(\"what stands here\") }\n";
    assert_eq!(found("a/tests/b.rs", code), [""; 0]);
    assert_eq!(found("a/src/tests.rs", code), [""; 0]);
    assert_eq!(found("a/src/b.rs", code).len(), 2);
}

#[test]
fn comments_are_at_most_100_columns_wide() {
    let indented = "    ".to_owned();
    let fits = format!("{indented}// {}\n", "a ".repeat(46) + "b");
    assert_eq!(found("a.rs", &fits), [""; 0]);
    let wide = format!("fn f() {{}}\n{indented}// {}\n", "a ".repeat(47) + "b");
    let expected = ["a.rs:2: 102 columns: wrap the comment at 100"];
    assert_eq!(found("a.rs", &wide), expected);
    let link = format!("// https://a.b/{}\n", "c".repeat(100));
    let table = format!("/// | {} |\n", "d ".repeat(60));
    assert_eq!(found("a.rs", &(link + &table)), [""; 0]);
    let example = format!("/// ```\n/// # {}\n/// ```\n", "d ".repeat(60));
    assert_eq!(found("a.rs", &example), [""; 0]);
    let document = format!("{}\n", "a ".repeat(60));
    assert_eq!(found("a.md", &document), [""; 0]);
}

#[test]
fn a_file_that_cannot_be_read_is_reported() {
    let violations = check_prose(&ProseFiles::of(&[("a.rs", "fn f() {\n")]));
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].rule, Rule::Unreadable);
}
