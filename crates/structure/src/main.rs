//! Checks the structure of the workspace: no import cycles between files, no imports through the
//! crate root, the layers of ARCHITECTURE.md, unique type names, the size and opening of files, and
//! the paths in documents. With `--prose` checks the words of comments, documents and messages
//! instead.
//!
//! `structure [--prose] [ROOT]` reads the sources and documents below ROOT (the current folder by
//! default), prints one block per violation and a count per rule, and fails if there is any.

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
mod prose;
mod resolved_mention;
mod resolver;
mod rules;
mod sources;
mod tree_reader;
mod type_rule;
mod violation;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::prose::{ProseFiles, check_prose};
use crate::rules::check;
use crate::sources::Sources;
use crate::violation::{Rule, Violation};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let prose = arguments
        .next_if(|argument| argument == "--prose")
        .is_some();
    let root = arguments.next().unwrap_or_else(|| ".".into());
    match run(Path::new(&root), prose) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("structure: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: &Path, prose: bool) -> io::Result<ExitCode> {
    if prose {
        let violations = check_prose(&ProseFiles::read(root)?);
        return Ok(report(&violations, &Rule::PROSE));
    }
    let violations = check(&Sources::read(root)?);
    Ok(report(&violations, &Rule::STRUCTURE))
}

fn report(violations: &[Violation], rules: &[Rule]) -> ExitCode {
    for violation in violations {
        println!("{violation}");
    }
    for rule in rules {
        let count = violations.iter().filter(|v| v.rule == *rule).count();
        println!("{count:5} {rule}");
    }
    if violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
