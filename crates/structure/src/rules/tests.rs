//! Tests each rule on small workspaces: one that obeys it, and one with a planted violation.

use std::collections::BTreeMap;

use super::*;

const MANIFEST: &str = "[workspace]\nmembers = [\"crates/actorgrid\", \"crates/other\"]\n";
const LAYERS: &str = "```layers\nserver\nclient\nname\n```\n";
const ROOT_FILE: &str = "//! A map.\nmod client;\nmod name;\nmod server;\npub use name::Name;\n";

/// Checks a library with these files in place of empty ones; paths are below
/// `crates/actorgrid/src/`.
fn violations(files: &[(&str, &str)]) -> Vec<(Rule, String)> {
    let mut all: BTreeMap<String, &str> = BTreeMap::new();
    all.insert("Cargo.toml".to_owned(), MANIFEST);
    all.insert("ARCHITECTURE.md".to_owned(), LAYERS);
    let empty = "//! Empty.\n";
    let library = [
        ("lib.rs", ROOT_FILE),
        ("client.rs", empty),
        ("name.rs", "//! Names.\npub struct Name;\n"),
        ("server.rs", empty),
    ];
    for (path, text) in library.iter().chain(files) {
        let path = match path.strip_prefix('/') {
            Some(path) => path.to_owned(),
            None => format!("{LIBRARY}/src/{path}"),
        };
        all.insert(path, text);
    }
    let files: Vec<_> = all
        .iter()
        .map(|(path, text)| (path.as_str(), *text))
        .collect();
    let found = check(&Sources::of(&files));
    let short = |text: String| text.replace("crates/actorgrid/src/", "");
    found.into_iter().map(|v| (v.rule, short(v.text))).collect()
}

#[track_caller]
fn only(files: &[(&str, &str)], rule: Rule, text: &str) {
    assert_eq!(violations(files), [(rule, text.to_owned())]);
}

#[test]
fn a_library_that_keeps_all_rules_passes() {
    let files = [
        (
            "server.rs",
            "//! A server.\nuse crate::client::Client;\nstruct Server(Client);\n",
        ),
        (
            "client.rs",
            "//! A client.\nuse crate::name::Name;\npub struct Client(Name);\n",
        ),
    ];
    assert_eq!(violations(&files), []);
}

#[test]
fn a_planted_cycle_is_found() {
    let files = [
        ("client.rs", "//! Map.\nmod a;\nmod b;\n"),
        ("client/a.rs", "//! A.\nuse super::b::B;\npub struct A;\n"),
        ("client/b.rs", "//! B.\n\npub struct B(super::a::A);\n"),
    ];
    only(
        &files,
        Rule::ImportCycle,
        "import cycle of 2 files:\n    client/a.rs:2 imports client/b.rs (super::b::B)\n    \
         client/b.rs:3 imports client/a.rs (super::a::A)",
    );
}

#[test]
fn a_cycle_of_a_child_with_its_parents_code_is_found() {
    let files = [
        (
            "client.rs",
            "//! Code.\nmod a;\nuse a::A;\npub struct Client(A);\n",
        ),
        (
            "client/a.rs",
            "//! A.\npub struct A;\nfn f(c: &super::Client) {}\n",
        ),
    ];
    assert_eq!(violations(&files)[0].0, Rule::ImportCycle);
}

#[test]
fn a_cycle_in_a_program_is_found() {
    let files = [
        (
            "/crates/other/src/bin/p/main.rs",
            "//! P.\nmod a;\nfn main() { a::f() }\n",
        ),
        (
            "/crates/other/src/bin/p/a.rs",
            "//! A.\npub fn f() { crate::main() }\n",
        ),
    ];
    assert_eq!(violations(&files)[0].0, Rule::ImportCycle);
}

#[test]
fn an_import_through_the_root_is_found() {
    for path in ["crate::Name", "super::Name"] {
        let client = format!("//! A client.\nuse {path};\n");
        let text = format!("client.rs:2: {path} names no module");
        only(&[("client.rs", &client)], Rule::RootImport, &text);
    }
    only(
        &[(
            "client.rs",
            "//! A client.\n\nfn f() { crate::Name::new() }\n",
        )],
        Rule::RootImport,
        "client.rs:3: crate::Name::new names no module",
    );
    only(
        &[("client.rs", "//! A client.\nuse crate::*;\n")],
        Rule::RootImport,
        "client.rs:2: crate imports the whole root",
    );
}

#[test]
fn the_crates_own_name_is_its_root_too() {
    let root = format!("{ROOT_FILE}extern crate self as actorgrid;\n");
    only(
        &[
            ("lib.rs", &root),
            ("client.rs", "//! A client.\nuse actorgrid::Name;\n"),
        ],
        Rule::RootImport,
        "client.rs:2: actorgrid::Name names no module",
    );
}

#[test]
fn an_upward_import_is_found() {
    let files = [
        ("server.rs", "//! A server.\npub struct Server;\n"),
        ("client.rs", "//! A client.\nuse crate::server::Server;\n"),
    ];
    only(
        &files,
        Rule::Layers,
        "client.rs:2: client is below server (crate::server::Server)",
    );
}

#[test]
fn an_upward_import_of_what_is_defined_below_is_found() {
    let files = [
        ("server.rs", "//! A server.\npub use crate::name::Name;\n"),
        ("client.rs", "//! A client.\nuse crate::server::Name;\n"),
    ];
    only(
        &files,
        Rule::Layers,
        "client.rs:2: client is below server (crate::server::Name)",
    );
}

#[test]
fn the_layers_list_exactly_the_existing_modules() {
    let root = ROOT_FILE.replace("mod client;\n", "mod other;\n");
    assert_eq!(
        violations(&[("lib.rs", &root), ("other.rs", "//! Other.\n")]),
        [
            "ARCHITECTURE.md: the layers list client, which is no module",
            "ARCHITECTURE.md: the module other is in no layer",
        ]
        .map(|text| (Rule::Layers, text.to_owned()))
    );
}

#[test]
fn a_type_name_used_twice_is_found() {
    let files = [
        ("server.rs", "//! A server.\nstruct State;\n"),
        ("client.rs", "//! A client.\n\ntrait State {}\n"),
    ];
    only(
        &files,
        Rule::TypeName,
        "State is defined 2 times:\n    client.rs:3\n    server.rs:2",
    );
}

#[test]
fn types_in_functions_and_tests_may_share_a_name() {
    let files = [
        ("server.rs", "//! A server.\nstruct State;\n"),
        (
            "client.rs",
            "//! A client.\nfn f() { struct State; }\n#[cfg(test)]\nstruct State;\n",
        ),
        (
            "/crates/other/src/lib.rs",
            "//! Another crate.\nstruct State;\n",
        ),
    ];
    assert_eq!(violations(&files), []);
}

#[test]
fn a_long_file_is_found_and_its_tests_do_not_count() {
    let tests = "#[cfg(test)]\nmod tests {\n\n\n}\n";
    let lines = |count: usize| format!("//! Long.\n{}{tests}", "\n".repeat(count - 1));
    assert_eq!(violations(&[("client.rs", &lines(600))]), []);
    only(
        &[("client.rs", &lines(601))],
        Rule::FileLength,
        "client.rs: 601 lines without tests, 600 are allowed",
    );
}

#[test]
fn a_file_that_does_not_say_what_it_is_for_is_found() {
    only(
        &[("/crates/other/src/lib.rs", "fn f() {}\n")],
        Rule::FileDocs,
        "crates/other/src/lib.rs: the first line does not begin with //!",
    );
}

#[test]
fn a_document_names_files_and_folders_that_exist() {
    let document = format!(
        "{LAYERS}\n\
         `crates/other/src/`, `crates/actorgrid/src/name.rs`, `name.rs` and `calling/`.\n\n\
         | `calling/` | `pool.rs`, `codec/frame.rs` |\n\
         | `crates/other/` | `src/lib.rs` |\n\n\
         No paths: `/`, `//!`, `/tmp/x.rs`, `src/<name>.rs`, `cargo run a.rs`, name/x.rs.\n"
    );
    let files = [
        ("calling/pool.rs", "//! A pool.\n"),
        ("calling/codec/frame.rs", "//! A frame.\n"),
        ("/crates/other/src/lib.rs", "//! Another crate.\n"),
        ("/ARCHITECTURE.md", &document),
        ("/CONTRIBUTING.md", "Read `server.rs`.\n"),
    ];
    assert_eq!(violations(&files), []);
}

#[test]
fn a_path_in_a_document_that_does_not_exist_is_found() {
    let document = format!(
        "{LAYERS}`name.rs`, `names.rs`\n\
         | `calling/` | `pool.rs`, `peer.rs` |\n\
         | a pool | `pool.rs` |\n"
    );
    let files = [
        ("calling/pool.rs", "//! A pool.\n"),
        ("/ARCHITECTURE.md", &document),
        (
            "/CONTRIBUTING.md",
            "Read `gone/`,\nand `crates/actorgrid/names.rs`.\n",
        ),
    ];
    assert_eq!(
        violations(&files),
        [
            "ARCHITECTURE.md:6: names.rs does not exist",
            "ARCHITECTURE.md:7: peer.rs does not exist",
            "ARCHITECTURE.md:8: pool.rs does not exist",
            "CONTRIBUTING.md:1: gone/ does not exist",
            "CONTRIBUTING.md:2: crates/actorgrid/names.rs does not exist",
        ]
        .map(|text| (Rule::DocumentPath, text.to_owned()))
    );
}

#[test]
fn a_path_to_nowhere_is_found() {
    only(
        &[("client.rs", "//! A client.\nuse crate::name::Absent;\n")],
        Rule::Unreadable,
        "client.rs:2: crate::name::Absent leads nowhere",
    );
}

#[test]
fn a_file_that_does_not_parse_is_found() {
    let found = violations(&[("client.rs", "//! A client.\nfn\n")]);
    assert_eq!(found[0].0, Rule::Unreadable);
}
