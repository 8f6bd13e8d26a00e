//! Checks that no two types of the library share a name.

use std::collections::{BTreeMap, BTreeSet};

use crate::module_tree::ModuleTree;
use crate::violation::{Rule, Violation};

/// Returns the type names that are defined in several places.
pub(crate) fn types_named_alike(tree: &ModuleTree) -> Vec<Violation> {
    let mut places: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for defined in &tree.types {
        let place = format!("{}:{}", defined.file, defined.line);
        places.entry(&defined.name).or_default().insert(place);
    }
    let several = places.into_iter().filter(|(_, places)| places.len() > 1);
    several
        .map(|(name, places)| {
            let places: Vec<_> = places.into_iter().collect();
            let text = format!("{name} is defined {} times:\n    ", places.len());
            Violation::new(Rule::TypeName, text + &places.join("\n    "))
        })
        .collect()
}
