//! Applies all rules to the sources of a workspace.

use std::collections::BTreeSet;

use crate::document_paths::missing_paths;
use crate::file_rules::file_shapes;
use crate::import_rules::{import_cycles, paths_to_nowhere, root_imports};
use crate::layer_rule::against_layers;
use crate::resolved_mention::resolved_mentions;
use crate::sources::Sources;
use crate::tree_reader::read_tree;
use crate::type_rule::types_named_alike;
use crate::violation::{Rule, Violation};

/// The crate that has layers, and whose types all have different names.
const LIBRARY: &str = "crates/actorgrid";

/// Returns all violations, ordered by rule and place.
pub(crate) fn check(sources: &Sources) -> Vec<Violation> {
    let mut violations = BTreeSet::new();
    for member in sources.members() {
        for root in target_roots(sources, &member) {
            let tree = read_tree(sources, &root);
            let unreadable = tree.unreadable.iter();
            violations.extend(unreadable.map(|text| Violation::new(Rule::Unreadable, text)));
            let mentions = resolved_mentions(&tree);
            violations.extend(paths_to_nowhere(&mentions));
            violations.extend(import_cycles(&tree));
            violations.extend(root_imports(&tree, &mentions));
            if root == format!("{LIBRARY}/src/lib.rs") {
                let document = sources.text("ARCHITECTURE.md").unwrap_or_default();
                violations.extend(against_layers(&tree, &mentions, document));
                violations.extend(types_named_alike(&tree));
            }
        }
        violations.extend(file_shapes(sources, &member));
    }
    violations.extend(missing_paths(sources));
    violations.into_iter().collect()
}

/// Returns the root files of a member's library and programs.
fn target_roots(sources: &Sources, member: &str) -> Vec<String> {
    let folder = format!("{member}/src");
    let is_root = |path: &str| {
        let Some(path) = path.strip_prefix(&folder).and_then(|p| p.strip_prefix('/')) else {
            return false;
        };
        let parts: Vec<_> = path.split('/').collect();
        matches!(
            parts[..],
            ["lib.rs" | "main.rs"] | ["bin", _] | ["bin", _, "main.rs"]
        )
    };
    let files = sources.rust_files(&folder).map(|(path, _)| path);
    files.filter(|p| is_root(p)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
