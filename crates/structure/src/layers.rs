//! The layers of the library, as ARCHITECTURE.md lists them.

use std::collections::BTreeMap;

/// How the fenced block of ARCHITECTURE.md that lists the layers begins.
const OPENING: &str = "```layers\n";

/// Maps each top-level module to its layer.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    depths: BTreeMap<String, usize>,
}

impl Layers {
    /// Parses the block: one layer per line, from top to bottom, with its modules separated by
    /// spaces.
    pub(crate) fn parse(document: &str) -> Result<Self, String> {
        let Some((_, rest)) = document.split_once(OPENING) else {
            return Err("ARCHITECTURE.md has no block ```layers".to_owned());
        };
        let block = rest.split("```").next().unwrap_or_default();
        let mut layers = Self::default();
        for (depth, line) in block.lines().enumerate() {
            for module in line.split_whitespace() {
                let before = layers.depths.insert(module.to_owned(), depth);
                if before.is_some() {
                    return Err(format!("ARCHITECTURE.md lists {module} in two layers"));
                }
            }
        }
        Ok(layers)
    }

    /// Whether `module` may use `other`; `None` if either is in no layer.
    pub(crate) fn allows(&self, module: &str, other: &str) -> Option<bool> {
        Some(self.depths.get(module)? <= self.depths.get(other)?)
    }

    pub(crate) fn contains(&self, module: &str) -> bool {
        self.depths.contains_key(module)
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = &str> {
        self.depths.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_may_use_its_own_layer_and_those_below() {
        let layers = Layers::parse("text\n```layers\na\nb c\nd\n```\nmore").unwrap();
        assert_eq!(layers.allows("a", "d"), Some(true));
        assert_eq!(layers.allows("b", "c"), Some(true));
        assert_eq!(layers.allows("d", "c"), Some(false));
        assert_eq!(layers.allows("a", "x"), None);
        assert!(layers.contains("c") && !layers.contains("more"));
    }

    #[test]
    fn a_document_without_the_block_or_with_a_module_twice_is_an_error() {
        assert!(Layers::parse("```\na\n```").is_err());
        assert!(Layers::parse("```layers\na\nb a\n```").is_err());
    }
}
