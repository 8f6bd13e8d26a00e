//! The modules of one target (a library or a program), with the items that each defines and
//! mentions.

use std::collections::{BTreeMap, BTreeSet};

use crate::mention::Mention;

/// The index of a module in [`ModuleTree::modules`].
pub(crate) type ModuleId = usize;

/// The root is the first module.
pub(crate) const ROOT: ModuleId = 0;

/// All modules of one target.
#[derive(Debug, Default)]
pub(crate) struct ModuleTree {
    pub(crate) modules: Vec<Module>,
    /// Structs, enums, unions, traits and type aliases at module level.
    pub(crate) types: Vec<TypeDefinition>,
    /// Files that are missing or do not parse, each with the reason.
    pub(crate) unreadable: Vec<String>,
}

/// A module, in its own file or inline.
#[derive(Debug)]
pub(crate) struct Module {
    /// The path from the root, whose own path is empty.
    pub(crate) path: Vec<String>,
    pub(crate) parent: Option<ModuleId>,
    pub(crate) file: String,
    pub(crate) names: BTreeMap<String, Vec<Definition>>,
    /// Names that macros in this module may define, guessed from their tokens.
    pub(crate) macro_names: BTreeSet<String>,
    /// The paths whose names are imported by `*`.
    pub(crate) globs: Vec<Vec<String>>,
    pub(crate) mentions: Vec<Mention>,
    /// Whether its content is included from elsewhere and not read: every name then resolves to the
    /// module itself.
    pub(crate) opaque: bool,
}

/// The meaning of a name in a module.
#[derive(Debug, Clone)]
pub(crate) enum Definition {
    Module(ModuleId),
    Item,
    Import { path: Vec<String>, reexport: bool },
}

/// A named type, and where it is defined.
#[derive(Debug)]
pub(crate) struct TypeDefinition {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) line: usize,
}

impl Module {
    pub(crate) fn define(&mut self, name: impl Into<String>, definition: Definition) {
        self.names.entry(name.into()).or_default().push(definition);
    }

    pub(crate) fn is_below(&self, other: &Self) -> bool {
        self.path.len() > other.path.len() && self.path.starts_with(&other.path)
    }
}
