//! Checks the structure of the workspace: no import cycles between files, no imports through the
//! crate root, the layers of ARCHITECTURE.md, unique type names, the size and opening of files, and
//! the paths in documents.
//!
//! `structure [ROOT]` reads the sources and documents below ROOT (by default the current folder),
//! prints one block per violation and a count per rule, and fails if there is any violation.

mod compiled_in;
mod cycle;
mod document_paths;
mod file_rules;
mod import_graph;
mod import_rules;
mod layer_rule;
mod layers;
mod macro_names;
mod mention;
mod module_tree;
mod resolved_mention;
mod resolver;
mod rules;
mod sources;
mod tree_reader;
mod type_rule;
mod violation;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::rules::check;
use crate::sources::Sources;
use crate::violation::{Rule, Violation};

fn main() -> ExitCode {
    let root = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let sources = match Sources::read(&PathBuf::from(root)) {
        Ok(sources) => sources,
        Err(error) => {
            eprintln!("structure: {error}");
            return ExitCode::FAILURE;
        }
    };
    report(&check(&sources))
}

fn report(violations: &[Violation]) -> ExitCode {
    for violation in violations {
        println!("{violation}");
    }
    for rule in Rule::ALL {
        let count = violations.iter().filter(|v| v.rule == rule).count();
        println!("{count:5} {rule}");
    }
    if violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
