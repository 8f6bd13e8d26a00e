//! Resolves paths through re-exports to the modules that define the named items.

use std::collections::BTreeSet;

use crate::module_tree::{Definition, ModuleId, ModuleTree, ROOT};

/// The item that a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A module itself.
    Module(ModuleId),
    /// An item that this module defines.
    ItemOf(ModuleId),
    /// An item of another crate.
    External,
}

impl Target {
    /// Returns the named module, or the module that defines the named item.
    pub(crate) fn module(self) -> Option<ModuleId> {
        match self {
            Self::Module(module) | Self::ItemOf(module) => Some(module),
            Self::External => None,
        }
    }
}

/// The item that a path names, and the modules that the path passes through.
#[derive(Debug, Default)]
pub(crate) struct Resolution {
    /// Has several targets where names of different kinds coincide (a trait and its derive), and
    /// none if the path does not resolve.
    pub(crate) targets: BTreeSet<Target>,
    pub(crate) passed: Vec<ModuleId>,
}

/// Resolves paths in one tree.
pub(crate) struct Resolver<'a> {
    tree: &'a ModuleTree,
}

type Visited = BTreeSet<(ModuleId, String)>;

impl<'a> Resolver<'a> {
    pub(crate) fn new(tree: &'a ModuleTree) -> Self {
        Self { tree }
    }

    /// Resolves a path that is written in `module`.
    pub(crate) fn resolve(&self, module: ModuleId, path: &[String]) -> Resolution {
        self.resolve_guarded(module, path, &mut Visited::new())
    }

    /// Resolves a single name in a module that imports it only by `*`.
    pub(crate) fn through_globs(&self, module: ModuleId, name: &str) -> BTreeSet<Target> {
        self.look_in_globs(module, name, &mut Visited::new())
    }

    fn resolve_guarded(
        &self,
        module: ModuleId,
        path: &[String],
        visited: &mut Visited,
    ) -> Resolution {
        let mut resolution = Resolution::default();
        let Some((start, rest)) = self.start(module, path) else {
            return resolution;
        };
        let mut targets = match (start, rest) {
            (Some(start), rest) => {
                resolution.passed.push(start);
                (BTreeSet::from([Target::Module(start)]), rest)
            }
            (None, [first, rest @ ..]) => {
                let mut found = self.look_up(module, first, visited);
                if found.is_empty() {
                    found.insert(Target::External);
                }
                (found, rest)
            }
            (None, []) => return resolution,
        };
        for name in targets.1 {
            let mut next = BTreeSet::new();
            for target in targets.0 {
                match target {
                    Target::Module(inner) => {
                        resolution.passed.push(inner);
                        next.extend(self.look_up(inner, name, visited));
                    }
                    // Variants, associated items, and exports of other crates.
                    Target::ItemOf(_) | Target::External => _ = next.insert(target),
                }
            }
            targets.0 = next;
        }
        resolution.targets = targets.0;
        resolution
    }

    /// Returns the module that the keywords at the beginning of the path name, if any, and the rest
    /// of the path. Returns `None` if there is no such module.
    fn start<'p>(
        &self,
        module: ModuleId,
        path: &'p [String],
    ) -> Option<(Option<ModuleId>, &'p [String])> {
        match path.first().map(String::as_str) {
            Some("crate") => Some((Some(ROOT), &path[1..])),
            Some("self" | "super") => {
                let mut current = module;
                let mut rest = path;
                while let Some((keyword, after)) = rest.split_first() {
                    match keyword.as_str() {
                        "self" => {}
                        "super" => current = self.tree.modules[current].parent?,
                        _ => break,
                    }
                    rest = after;
                }
                Some((Some(current), rest))
            }
            _ => Some((None, path)),
        }
    }

    fn look_up(&self, module: ModuleId, name: &str, visited: &mut Visited) -> BTreeSet<Target> {
        if !visited.insert((module, name.to_owned())) {
            return BTreeSet::new();
        }
        let mut targets = BTreeSet::new();
        let Some(definitions) = self.tree.modules[module].names.get(name) else {
            let found = self.look_in_globs(module, name, visited);
            let module_itself = &self.tree.modules[module];
            if found.is_empty()
                && (module_itself.opaque || module_itself.macro_names.contains(name))
            {
                return BTreeSet::from([Target::ItemOf(module)]);
            }
            return found;
        };
        for definition in definitions {
            match definition {
                Definition::Module(inner) => _ = targets.insert(Target::Module(*inner)),
                Definition::Item => _ = targets.insert(Target::ItemOf(module)),
                Definition::Import { path, .. } => {
                    let found = self.resolve_guarded(module, path, &mut visited.clone());
                    targets.extend(found.targets);
                }
            }
        }
        targets
    }

    fn look_in_globs(
        &self,
        module: ModuleId,
        name: &str,
        visited: &mut Visited,
    ) -> BTreeSet<Target> {
        let mut targets = BTreeSet::new();
        for glob in &self.tree.modules[module].globs {
            let found = self.resolve_guarded(module, glob, &mut visited.clone());
            for target in found.targets {
                if let Target::Module(inner) = target {
                    targets.extend(self.look_up(inner, name, &mut visited.clone()));
                }
            }
        }
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::Sources;
    use crate::tree_reader::read_tree;

    /// Returns the files that define the item which `path` names in the module `a/src/<within>.rs`.
    fn defined_in(files: &[(&str, &str)], within: &str, path: &str) -> Vec<String> {
        let tree = read_tree(&Sources::of(files), "a/src/lib.rs");
        let file = format!("a/src/{within}.rs");
        let module = tree.modules.iter().position(|m| m.file == file).unwrap();
        let path: Vec<_> = path.split("::").map(str::to_owned).collect();
        let targets = Resolver::new(&tree).resolve(module, &path).targets;
        let modules = targets.iter().filter_map(|target| target.module());
        modules.map(|m| tree.modules[m].file.clone()).collect()
    }

    #[test]
    fn re_exports_lead_to_the_file_that_defines_the_item() {
        let files = [
            ("a/src/lib.rs", "mod b; mod d; pub use b::C;"),
            ("a/src/b/mod.rs", "mod c; pub use c::C; pub use c::*;"),
            ("a/src/b/c.rs", "pub struct C; pub fn f() {}"),
            ("a/src/d.rs", ""),
        ];
        for path in ["crate::C", "crate::b::C", "super::b::C::new", "crate::b::f"] {
            assert_eq!(defined_in(&files, "d", path), ["a/src/b/c.rs"], "{path}");
        }
        assert_eq!(defined_in(&files, "d", "super::b"), ["a/src/b/mod.rs"]);
        assert_eq!(defined_in(&files, "b/c", "self::f"), ["a/src/b/c.rs"]);
    }

    #[test]
    fn a_renamed_import_of_a_module_is_followed() {
        let files = [
            ("a/src/lib.rs", "mod b; mod c;"),
            ("a/src/b.rs", "pub fn f() {}"),
            ("a/src/c.rs", "use crate::b as other;"),
        ];
        assert_eq!(defined_in(&files, "c", "other::f"), ["a/src/b.rs"]);
    }

    #[test]
    fn other_crates_circles_and_nothing_have_no_file() {
        let files = [
            ("a/src/lib.rs", "mod b; pub use b::C; pub use std::fmt;"),
            ("a/src/b.rs", "pub use crate::C; pub use crate::*;"),
        ];
        for path in [
            "std::fmt::Debug",
            "crate::C",
            "crate::fmt::Debug",
            "crate::D",
        ] {
            assert!(defined_in(&files, "b", path).is_empty(), "{path}");
        }
    }

    #[test]
    fn what_a_macro_defines_belongs_to_the_module_that_uses_or_declares_it() {
        let files = [
            ("a/src/lib.rs", "mod b; mod c;"),
            (
                "a/src/b.rs",
                "macro_rules! m { ($n:ident) => { struct B; struct $n; } } m!(C);",
            ),
            ("a/src/c.rs", ""),
        ];
        assert_eq!(defined_in(&files, "c", "crate::b::B"), ["a/src/b.rs"]);
        assert_eq!(defined_in(&files, "c", "crate::b::C"), ["a/src/b.rs"]);
        assert!(defined_in(&files, "c", "crate::b::D").is_empty());
    }

    #[test]
    fn what_an_included_file_defines_belongs_to_its_module() {
        let files = [(
            "a/src/lib.rs",
            "mod wire { include!(\"generated/wire.rs\"); }",
        )];
        assert_eq!(
            defined_in(&files, "lib", "wire::inner::Message"),
            ["a/src/lib.rs"]
        );
    }
}
