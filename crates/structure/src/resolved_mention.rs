//! The mentions of a tree, with the items that they resolve to.

use crate::mention::Mention;
use crate::module_tree::{Module, ModuleTree};
use crate::resolver::{Resolution, Resolver};

/// A mentioned path outside of the root module.
pub(crate) struct ResolvedMention<'a> {
    pub(crate) module: &'a Module,
    pub(crate) mention: &'a Mention,
    pub(crate) resolution: Resolution,
}

impl ResolvedMention<'_> {
    /// Returns the path's place, as violations show it.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.module.file, self.mention.line)
    }

    pub(crate) fn path(&self) -> String {
        self.mention.path.join("::")
    }
}

/// Returns all mentions of a tree except those in its root, which is a map of all modules.
pub(crate) fn resolved_mentions(tree: &ModuleTree) -> Vec<ResolvedMention<'_>> {
    let resolver = Resolver::new(tree);
    let mut resolved = Vec::new();
    for (id, module) in tree.modules.iter().enumerate().skip(1) {
        for mention in &module.mentions {
            resolved.push(ResolvedMention {
                module,
                mention,
                resolution: resolver.resolve(id, &mention.path),
            });
        }
    }
    resolved
}
