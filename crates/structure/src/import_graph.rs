//! Collects the imports between the files of a target, and where they are written.

use std::collections::BTreeMap;

use crate::mention::{Mention, MentionKind};
use crate::module_tree::{Definition, ModuleId, ModuleTree};
use crate::resolver::{Resolver, Target};

/// One import of one file from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ImportSite {
    pub(crate) line: usize,
    pub(crate) path: String,
}

/// The imports between different files, by the importing and the defining file.
pub(crate) type ImportGraph = BTreeMap<String, BTreeMap<String, ImportSite>>;

/// Reads the imports of a tree. If one file imports from another several times, the first import
/// counts.
pub(crate) fn import_graph(tree: &ModuleTree) -> ImportGraph {
    let resolver = Resolver::new(tree);
    let mut graph = ImportGraph::new();
    for (id, module) in tree.modules.iter().enumerate() {
        for mention in &module.mentions {
            for target in imported(tree, &resolver, id, mention) {
                let target = &tree.modules[target];
                if target.file == module.file {
                    continue;
                }
                let site = ImportSite {
                    line: mention.line,
                    path: mention.path.join("::"),
                };
                let known = graph.entry(module.file.clone()).or_default();
                let first = known
                    .entry(target.file.clone())
                    .or_insert_with(|| site.clone());
                if site < *first {
                    *first = site;
                }
            }
        }
    }
    graph
}

/// Returns the modules that a mention imports from.
fn imported(
    tree: &ModuleTree,
    resolver: &Resolver<'_>,
    id: ModuleId,
    mention: &Mention,
) -> Vec<ModuleId> {
    let module = &tree.modules[id];
    let targets = match (mention.kind, mention.path.as_slice()) {
        // A name in scope: its import counts where it is written. Exceptions are a parent's
        // re-export, which counts once the parent itself uses it, and `*`, which counts name by
        // name.
        (MentionKind::Inline, [name]) => match module.names.get(name) {
            Some(definitions) if definitions.iter().any(is_reexport) => {
                resolver.resolve(id, &mention.path).targets
            }
            Some(_) => return Vec::new(),
            None => resolver.through_globs(id, name),
        },
        _ => resolver.resolve(id, &mention.path).targets,
    };
    let of_a_parent = matches!(
        mention.kind,
        MentionKind::Reexport | MentionKind::ReexportedGlob
    );
    let is_glob = matches!(
        mention.kind,
        MentionKind::Glob | MentionKind::ReexportedGlob
    );
    targets
        .into_iter()
        .filter(|target| !(is_glob && matches!(target, Target::Module(_))))
        .filter_map(Target::module)
        .filter(|&target| !(of_a_parent && tree.modules[target].is_below(module)))
        .collect()
}

fn is_reexport(definition: &Definition) -> bool {
    matches!(definition, Definition::Import { reexport: true, .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::Sources;
    use crate::tree_reader::read_tree;

    fn edges(files: &[(&str, &str)]) -> Vec<String> {
        let tree = read_tree(&Sources::of(files), "a/src/lib.rs");
        let mut edges = Vec::new();
        for (from, targets) in import_graph(&tree) {
            for (to, site) in targets {
                let short = |path: &str| path.trim_start_matches("a/src/").to_owned();
                edges.push(format!("{}:{} {}", short(&from), site.line, short(&to)));
            }
        }
        edges
    }

    #[test]
    fn imports_and_inline_paths_count_where_they_are_written() {
        let files = [
            ("a/src/lib.rs", "mod b; mod c;"),
            ("a/src/b.rs", "\nuse crate::c::C;\nfn f(c: C) {}"),
            ("a/src/c.rs", "pub struct C;\nfn g() { super::b::f() }"),
        ];
        assert_eq!(edges(&files), ["b.rs:2 c.rs", "c.rs:2 b.rs"]);
    }

    #[test]
    fn a_parents_map_does_not_count_and_its_code_does() {
        let map = [
            ("a/src/lib.rs", "mod b; pub use b::B;"),
            ("a/src/b.rs", "pub struct B;"),
        ];
        assert!(edges(&map).is_empty());
        let own_use = [
            ("a/src/lib.rs", "mod b;\npub use b::B;\nstruct A(B);"),
            ("a/src/b.rs", "pub struct B;"),
        ];
        assert_eq!(edges(&own_use), ["lib.rs:3 b.rs"]);
        let private = [
            ("a/src/lib.rs", "mod b;\nuse b::B;"),
            ("a/src/b.rs", "pub struct B;"),
        ];
        assert_eq!(edges(&private), ["lib.rs:2 b.rs"]);
        let first_segment = [
            ("a/src/lib.rs", "mod b;\nfn f() { b::g() }"),
            ("a/src/b.rs", "pub fn g() {}"),
        ];
        assert_eq!(edges(&first_segment), ["lib.rs:2 b.rs"]);
    }

    #[test]
    fn a_re_export_of_a_sibling_counts() {
        let files = [
            ("a/src/lib.rs", "mod b; mod c;"),
            ("a/src/b.rs", "pub use crate::c::C;"),
            ("a/src/c.rs", "pub struct C;"),
        ];
        assert_eq!(edges(&files), ["b.rs:1 c.rs"]);
    }

    #[test]
    fn a_glob_counts_name_by_name() {
        let files = [
            ("a/src/lib.rs", "mod b; mod c;"),
            ("a/src/b.rs", "use crate::c::*;\nfn f(d: D) {}"),
            (
                "a/src/c/mod.rs",
                "mod d; mod e; pub use d::D; pub use e::E;",
            ),
            ("a/src/c/d.rs", "pub struct D;"),
            ("a/src/c/e.rs", "pub struct E;"),
        ];
        assert_eq!(edges(&files), ["b.rs:2 c/d.rs"]);
    }

    #[test]
    fn tests_do_not_count() {
        let files = [
            ("a/src/lib.rs", "mod b; mod c;"),
            ("a/src/b.rs", "#[cfg(test)] mod tests { use crate::c::C; }"),
            ("a/src/c.rs", "pub struct C;"),
        ];
        assert!(edges(&files).is_empty());
    }
}
