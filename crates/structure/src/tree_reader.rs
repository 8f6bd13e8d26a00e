//! Builds the module tree of a target from its sources.

use syn::visit::Visit;
use syn::{Item, ItemMacro, ItemMod, ItemUse};

use crate::compiled_in::compiled_in;
use crate::macro_names::{types_in_body, types_in_invocation};
use crate::mention::{
    Mention, MentionKind, MentionVisitor, attributes_of, imported_names, is_reexport, line_of,
};
use crate::module_tree::{Definition, Module, ModuleId, ModuleTree, ROOT, TypeDefinition};
use crate::sources::Sources;

/// Reads the target whose root file is `root`, such as `crates/actorgrid/src/lib.rs`.
pub(crate) fn read_tree(sources: &Sources, root: &str) -> ModuleTree {
    let mut reader = TreeReader {
        sources,
        tree: ModuleTree::default(),
    };
    let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
    let module = reader.add(None, Vec::new(), root);
    reader.read_file(module, folder);
    reader.tree
}

struct TreeReader<'a> {
    sources: &'a Sources,
    tree: ModuleTree,
}

impl TreeReader<'_> {
    fn add(&mut self, parent: Option<ModuleId>, path: Vec<String>, file: &str) -> ModuleId {
        self.tree.modules.push(Module {
            path,
            parent,
            file: file.to_owned(),
            names: Default::default(),
            macro_names: Default::default(),
            globs: Vec::new(),
            mentions: Vec::new(),
            opaque: false,
        });
        self.tree.modules.len() - 1
    }

    /// Reads the file of a module; its child modules are in `folder`.
    fn read_file(&mut self, module: ModuleId, folder: &str) {
        let file = self.tree.modules[module].file.clone();
        let text = self.sources.text(&file).unwrap_or_default();
        match syn::parse_file(text) {
            Ok(parsed) => self.read_items(module, &parsed.items, folder),
            Err(error) => {
                let line = error.span().start().line;
                self.tree.unreadable.push(format!("{file}:{line}: {error}"));
            }
        }
    }

    fn read_items(&mut self, module: ModuleId, items: &[Item], folder: &str) {
        for item in items.iter().filter(|item| compiled_in(attributes_of(item))) {
            self.read_item(module, item, folder);
        }
    }

    fn read_item(&mut self, module: ModuleId, item: &Item, folder: &str) {
        match item {
            Item::Mod(item) => return self.read_module(module, item, folder),
            Item::Use(item) => return self.read_use(module, item),
            Item::ExternCrate(item) => {
                if let (true, Some((_, name))) = (item.ident == "self", &item.rename) {
                    let root = Definition::Module(ROOT);
                    self.tree.modules[module].define(name.to_string(), root);
                }
                return;
            }
            Item::Macro(item) if item.mac.path.is_ident("include") => {
                self.tree.modules[module].opaque = true;
                return;
            }
            _ => {}
        }
        if let Item::Macro(item) = item {
            self.read_macro(module, item);
        }
        if let Some(name) = name_of(item) {
            self.tree.modules[module].define(name.to_string(), Definition::Item);
            if is_type(item) {
                self.add_type(module, name);
            }
        }
        let mut visitor = MentionVisitor::default();
        visitor.visit_item(item);
        let mentions = &mut self.tree.modules[module].mentions;
        mentions.append(&mut visitor.mentions);
    }

    fn read_macro(&mut self, module: ModuleId, item: &ItemMacro) {
        let tokens = item.mac.tokens.clone();
        let declares = item.ident.is_some();
        let names = if declares {
            types_in_body(tokens)
        } else {
            types_in_invocation(tokens)
        };
        for name in names {
            if declares {
                self.add_type(module, &name);
            }
            let macro_names = &mut self.tree.modules[module].macro_names;
            macro_names.insert(name.to_string());
        }
    }

    fn add_type(&mut self, module: ModuleId, name: &syn::Ident) {
        self.tree.types.push(TypeDefinition {
            name: name.to_string(),
            file: self.tree.modules[module].file.clone(),
            line: line_of(name),
        });
    }

    fn read_module(&mut self, parent: ModuleId, item: &ItemMod, folder: &str) {
        let name = item.ident.to_string();
        let below = format!("{folder}/{name}");
        let inline = item.content.is_some();
        let candidates = [format!("{below}.rs"), format!("{below}/mod.rs")];
        let file = if inline {
            Some(self.tree.modules[parent].file.clone())
        } else {
            candidates
                .into_iter()
                .find(|path| self.sources.text(path).is_some())
        };
        let Some(file) = file else {
            let (file, line) = (&self.tree.modules[parent].file, line_of(&item.ident));
            let text = format!("{file}:{line}: there is no file of the module {name}");
            self.tree.unreadable.push(text);
            return;
        };
        let mut path = self.tree.modules[parent].path.clone();
        path.push(name.clone());
        let module = self.add(Some(parent), path, &file);
        self.tree.modules[parent].define(name, Definition::Module(module));
        match &item.content {
            Some((_, items)) => self.read_items(module, items, &below),
            None => self.read_file(module, &below),
        }
    }

    fn read_use(&mut self, module: ModuleId, item: &ItemUse) {
        let reexport = is_reexport(&item.vis);
        let module = &mut self.tree.modules[module];
        for imported in imported_names(item) {
            let path = imported.path;
            let kind = match (&imported.name, reexport) {
                (Some(_), false) => MentionKind::Import,
                (Some(_), true) => MentionKind::Reexport,
                (None, false) => MentionKind::Glob,
                (None, true) => MentionKind::ReexportedGlob,
            };
            match imported.name {
                Some(name) => {
                    let path = path.clone();
                    module.define(name, Definition::Import { path, reexport });
                }
                None => module.globs.push(path.clone()),
            }
            module.mentions.push(Mention {
                path,
                line: imported.line,
                kind,
            });
        }
    }
}

fn name_of(item: &Item) -> Option<&syn::Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Macro(item) => item.ident.as_ref(),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::TraitAlias(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}

fn is_type(item: &Item) -> bool {
    matches!(
        item,
        Item::Enum(_) | Item::Struct(_) | Item::Trait(_) | Item::Type(_) | Item::Union(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_in_either_layout_and_inline() {
        let sources = Sources::of(&[
            ("a/src/lib.rs", "mod b; mod c; mod d { mod e; }"),
            ("a/src/b.rs", "mod f;"),
            ("a/src/b/f.rs", ""),
            ("a/src/c/mod.rs", "mod g;"),
            ("a/src/c/g.rs", ""),
            ("a/src/d/e.rs", ""),
        ]);
        let tree = read_tree(&sources, "a/src/lib.rs");
        let shown = |m: &Module| format!("{} {}", m.path.join("::"), m.file);
        let modules: Vec<_> = tree.modules.iter().map(shown).collect();
        assert_eq!(
            modules,
            [
                " a/src/lib.rs",
                "b a/src/b.rs",
                "b::f a/src/b/f.rs",
                "c a/src/c/mod.rs",
                "c::g a/src/c/g.rs",
                "d a/src/lib.rs",
                "d::e a/src/d/e.rs"
            ]
        );
        assert!(tree.unreadable.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_reported() {
        let sources = Sources::of(&[("a/src/lib.rs", "mod b;\nmod c;"), ("a/src/b.rs", "fn")]);
        let tree = read_tree(&sources, "a/src/lib.rs");
        assert_eq!(tree.unreadable.len(), 2);
        assert!(tree.unreadable[0].starts_with("a/src/b.rs:1: "));
        assert!(tree.unreadable[1].starts_with("a/src/lib.rs:2: "));
    }

    #[test]
    fn test_modules_are_not_read() {
        let sources = Sources::of(&[("a/src/lib.rs", "#[cfg(test)] mod tests;")]);
        let tree = read_tree(&sources, "a/src/lib.rs");
        assert_eq!(tree.modules.len(), 1);
        assert!(tree.unreadable.is_empty());
    }
}
