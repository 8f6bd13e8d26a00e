//! Collects the paths that a piece of code mentions: its imports, and the paths in its expressions,
//! types and macros.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemUse, Macro, Path, TraitItem, UseTree, Visibility};

use crate::compiled_in::compiled_in;

/// A path as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    pub(crate) kind: MentionKind,
}

/// How a path is mentioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MentionKind {
    Import,
    /// An import that others may import in turn: `pub use`, `pub(crate) use`.
    Reexport,
    /// An import of all names of a path. The path is kept without the `*`.
    Glob,
    ReexportedGlob,
    Inline,
}

/// A name that a `use` brings into scope; `None` stands for `*`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ImportedName {
    pub(crate) path: Vec<String>,
    pub(crate) name: Option<String>,
    pub(crate) line: usize,
}

/// Returns the names that a `use` imports. A path with a leading `::` names another crate and
/// yields none.
pub(crate) fn imported_names(item: &ItemUse) -> Vec<ImportedName> {
    let mut names = Vec::new();
    if item.leading_colon.is_none() {
        flatten(&item.tree, &[], &mut names);
    }
    names
}

fn flatten(tree: &UseTree, before: &[String], names: &mut Vec<ImportedName>) {
    let with = |ident: &syn::Ident| {
        let mut path = before.to_vec();
        // `a::{self}` imports `a` itself.
        if ident != "self" || before.is_empty() {
            path.push(ident.to_string());
        }
        path
    };
    match tree {
        UseTree::Path(path) => flatten(&path.tree, &with(&path.ident), names),
        UseTree::Name(name) => {
            let path = with(&name.ident);
            names.push(ImportedName {
                name: path.last().cloned(),
                path,
                line: line_of(&name.ident),
            });
        }
        UseTree::Rename(rename) => names.push(ImportedName {
            path: with(&rename.ident),
            name: Some(rename.rename.to_string()),
            line: line_of(&rename.ident),
        }),
        UseTree::Glob(glob) => names.push(ImportedName {
            path: before.to_vec(),
            name: None,
            line: glob.star_token.spans[0].start().line,
        }),
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before, names);
            }
        }
    }
}

pub(crate) fn line_of(ident: &syn::Ident) -> usize {
    ident.span().start().line
}

/// Whether other modules can import what this `use` imports.
pub(crate) fn is_reexport(visibility: &Visibility) -> bool {
    match visibility {
        Visibility::Public(_) => true,
        Visibility::Restricted(restricted) => !restricted.path.is_ident("self"),
        Visibility::Inherited => false,
    }
}

/// Collects the mentions in the code that it visits, except code compiled only for tests.
#[derive(Debug, Default)]
pub(crate) struct MentionVisitor {
    pub(crate) mentions: Vec<Mention>,
}

impl MentionVisitor {
    fn inline(&mut self, path: Vec<String>, line: usize) {
        self.mentions.push(Mention {
            path,
            line,
            kind: MentionKind::Inline,
        });
    }

    /// Collects mentions from tokens, as macros are not expanded. In their arguments and in
    /// `macro_rules!` bodies, anything that looks like a path counts as one: `a::b`, or a single
    /// name that looks like a type.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let first = match token {
                TokenTree::Group(group) => {
                    self.tokens(group.stream());
                    continue;
                }
                TokenTree::Ident(ident) => ident,
                _ => continue,
            };
            let line = line_of(&first);
            let mut path = vec![first.to_string()];
            while let Some(TokenTree::Punct(colon)) = tokens.peek()
                && colon.as_char() == ':'
                && colon.spacing() == proc_macro2::Spacing::Joint
            {
                tokens.next();
                tokens.next();
                match tokens.peek() {
                    Some(TokenTree::Ident(ident)) => path.push(ident.to_string()),
                    _ => break,
                }
                tokens.next();
            }
            if path.len() > 1 || path[0].starts_with(char::is_uppercase) {
                self.inline(path, line);
            }
        }
    }
}

impl<'ast> Visit<'ast> for MentionVisitor {
    fn visit_path(&mut self, path: &'ast Path) {
        if path.leading_colon.is_none()
            && let Some(first) = path.segments.first()
        {
            let names = path.segments.iter().map(|s| s.ident.to_string()).collect();
            self.inline(names, line_of(&first.ident));
        }
        visit::visit_path(self, path);
    }

    // Only reached inside functions: imports at module level are read separately, with the names
    // that they define.
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for imported in imported_names(item) {
            let kind = match imported.name {
                Some(_) => MentionKind::Import,
                None => MentionKind::Glob,
            };
            self.mentions.push(Mention {
                path: imported.path,
                line: imported.line,
                kind,
            });
        }
    }

    fn visit_macro(&mut self, invocation: &'ast Macro) {
        self.visit_path(&invocation.path);
        self.tokens(invocation.tokens.clone());
    }

    fn visit_item(&mut self, item: &'ast Item) {
        if compiled_in(attributes_of(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => return,
        };
        if compiled_in(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let attributes = match item {
            TraitItem::Const(item) => &item.attrs,
            TraitItem::Fn(item) => &item.attrs,
            TraitItem::Type(item) => &item.attrs,
            TraitItem::Macro(item) => &item.attrs,
            _ => return,
        };
        if compiled_in(attributes) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if compiled_in(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if compiled_in(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if compiled_in(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

pub(crate) fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(item: &str) -> Vec<String> {
        let imported = imported_names(&syn::parse_str(item).unwrap());
        let shown = |i: ImportedName| {
            let name = i.name.unwrap_or_else(|| "*".to_owned());
            format!("{} as {name}", i.path.join("::"))
        };
        imported.into_iter().map(shown).collect()
    }

    fn mentioned(code: &str) -> Vec<String> {
        let mut visitor = MentionVisitor::default();
        visitor.visit_file(&syn::parse_str(code).unwrap());
        let paths = visitor.mentions.iter().map(|m| m.path.join("::"));
        paths.filter(|path| path.contains("::")).collect()
    }

    #[test]
    fn a_use_is_flattened() {
        assert_eq!(
            names("use crate::a::{self, b::C, d::*, E as F};"),
            [
                "crate::a as a",
                "crate::a::b::C as C",
                "crate::a::d as *",
                "crate::a::E as F"
            ]
        );
        assert!(names("use ::a::B;").is_empty());
    }

    #[test]
    fn paths_are_found_in_types_expressions_macros_and_functions() {
        let code = r#"
            struct S { field: crate::a::A }
            fn f() -> Vec<super::b::B> {
                use crate::c::C;
                println!("{}", [d::e(crate::f::G)]);
                <S as crate::h::H>::new()
            }
            macro_rules! m { () => { $crate::i::j() } }
        "#;
        assert_eq!(
            mentioned(code),
            [
                "crate::a::A",
                "super::b::B",
                "crate::c::C",
                "d::e",
                "crate::f::G",
                "crate::h::H::new",
                "crate::i::j"
            ]
        );
    }

    #[test]
    fn what_only_tests_compile_is_left_out() {
        let code = "
            #[cfg(test)] fn f() { a::b() }
            struct S { #[cfg(test)] field: a::B }
            impl S { #[cfg(test)] fn g() { a::c() } fn h() { #[cfg(test)] let i = a::j(); } }
        ";
        assert!(mentioned(code).is_empty(), "{:?}", mentioned(code));
    }
}
