//! Checks that imports form no cycles, name a module, and resolve.

use crate::cycle::{cycles, describe};
use crate::import_graph::import_graph;
use crate::module_tree::{Definition, Module, ModuleTree, ROOT};
use crate::resolved_mention::ResolvedMention;
use crate::violation::{Rule, Violation};

/// Returns the cycles of imports between files.
pub(crate) fn import_cycles(tree: &ModuleTree) -> Vec<Violation> {
    let graph = import_graph(tree);
    let describe = |cycle: &Vec<String>| Violation::new(Rule::ImportCycle, describe(&graph, cycle));
    cycles(&graph).iter().map(describe).collect()
}

/// Returns the paths within the crate that this check cannot resolve: it would miss what they
/// import.
pub(crate) fn paths_to_nowhere(mentions: &[ResolvedMention<'_>]) -> Vec<Violation> {
    let leads_nowhere = |found: &&ResolvedMention<'_>| {
        let path = &found.mention.path;
        let within = path.len() > 1 && matches!(path[0].as_str(), "crate" | "self" | "super");
        within && found.resolution.targets.is_empty()
    };
    let found = mentions.iter().filter(leads_nowhere);
    found
        .map(|found| {
            let text = format!("{}: {} leads nowhere", found.place(), found.path());
            Violation::new(Rule::Unreadable, text)
        })
        .collect()
}

/// Returns the paths to items that the root only re-exports. They hide which module is used.
pub(crate) fn root_imports(tree: &ModuleTree, mentions: &[ResolvedMention<'_>]) -> Vec<Violation> {
    let root = &tree.modules[ROOT];
    let mut violations = Vec::new();
    for found in mentions {
        let path = &found.mention.path;
        let from_root = found.resolution.passed.first() == Some(&ROOT);
        if !from_root && !begins_with_own_name(root, found.module, path) {
            continue;
        }
        // The first name after the keywords, or after the crate's own name.
        let mut names = path.iter().skip(1).skip_while(|name| *name == "super");
        let why = match names.next() {
            Some(name) if is_only_imported(root, name) => "names no module",
            None => "imports the whole root",
            Some(_) => continue,
        };
        let text = format!("{}: {} {why}", found.place(), found.path());
        violations.push(Violation::new(Rule::RootImport, text));
    }
    violations
}

fn is_only_imported(root: &Module, name: &str) -> bool {
    let imported = |d: &Definition| matches!(d, Definition::Import { .. });
    let definitions = root.names.get(name);
    definitions.is_some_and(|definitions| definitions.iter().all(imported))
}

/// Whether a path begins with the crate's name for itself (`extern crate self as`).
fn begins_with_own_name(root: &Module, module: &Module, path: &[String]) -> bool {
    let Some(first) = path
        .first()
        .filter(|first| !module.names.contains_key(*first))
    else {
        return false;
    };
    let is_root = |d: &Definition| matches!(d, Definition::Module(ROOT));
    let definitions = root.names.get(first);
    definitions.is_some_and(|definitions| definitions.iter().any(is_root))
}
