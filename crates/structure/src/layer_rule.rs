//! Checks that a module of the library uses only its own layer and those below.

use std::collections::BTreeSet;

use crate::layers::Layers;
use crate::module_tree::ModuleTree;
use crate::resolved_mention::ResolvedMention;
use crate::violation::{Rule, Violation};

/// Returns the imports against the layers that `document` lists.
pub(crate) fn against_layers(
    tree: &ModuleTree,
    mentions: &[ResolvedMention<'_>],
    document: &str,
) -> Vec<Violation> {
    let layers = match Layers::parse(document) {
        Ok(layers) => layers,
        Err(error) => return vec![Violation::new(Rule::Layers, error)],
    };
    let mut violations = misplaced_modules(tree, &layers);
    let mut seen = BTreeSet::new();
    for found in mentions {
        let module = &found.module.path[0];
        let defining = found.resolution.targets.iter().filter_map(|t| t.module());
        for other in defining.chain(found.resolution.passed.iter().copied()) {
            let Some(other) = tree.modules[other].path.first() else {
                continue;
            };
            let forbidden = layers.allows(module, other) == Some(false);
            let (place, path) = (found.place(), found.path());
            if forbidden && seen.insert((place.clone(), other)) {
                let text = format!("{place}: {module} is below {other} ({path})");
                violations.push(Violation::new(Rule::Layers, text));
            }
        }
    }
    violations
}

/// Returns the top-level modules that are in no layer, and the names in the layers that are not
/// modules.
fn misplaced_modules(tree: &ModuleTree, layers: &Layers) -> Vec<Violation> {
    let paths = tree.modules.iter().map(|module| &module.path);
    let modules: BTreeSet<&str> = paths
        .filter(|path| path.len() == 1)
        .map(|path| path[0].as_str())
        // Only the code that the derives generate names it; nothing in the library uses it.
        .filter(|module| *module != "__private")
        .collect();
    let unplaced = modules
        .iter()
        .filter(|module| !layers.contains(module))
        .map(|module| format!("ARCHITECTURE.md: the module {module} is in no layer"));
    let absent = layers
        .modules()
        .filter(|module| !modules.contains(module))
        .map(|module| format!("ARCHITECTURE.md: the layers list {module}, which is no module"));
    unplaced
        .chain(absent)
        .map(|text| Violation::new(Rule::Layers, text))
        .collect()
}
