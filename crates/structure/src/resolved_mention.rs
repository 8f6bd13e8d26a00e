//! The mentions of a tree with what they resolve to.

use crate::mention::Mention;
use crate::module_tree::{Module, ModuleTree};
use crate::resolver::{Resolution, Resolver};

/// A path outside of the root module.
pub(crate) struct ResolvedMention<'a> {
    pub(crate) module: &'a Module,
    pub(crate) mention: &'a Mention,
    pub(crate) resolution: Resolution,
}

impl ResolvedMention<'_> {
    /// The path and its place, as violations show them.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.module.file, self.mention.line)
    }

    pub(crate) fn path(&self) -> String {
        self.mention.path.join("::")
    }
}

/// All mentions of a tree but those in its root, which is a map of all modules.
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
