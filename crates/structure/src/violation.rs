//! A place in the sources that breaks a rule.

use std::fmt;

/// The rules, in the order in which violations are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    Unreadable,
    ImportCycle,
    RootImport,
    Layers,
    TypeName,
    FileLength,
    FileDocs,
    DocumentPath,
    Wording,
    CommentWidth,
}

impl Rule {
    /// The rules of the structure.
    pub(crate) const STRUCTURE: [Self; 8] = [
        Self::Unreadable,
        Self::ImportCycle,
        Self::RootImport,
        Self::Layers,
        Self::TypeName,
        Self::FileLength,
        Self::FileDocs,
        Self::DocumentPath,
    ];

    /// The rules of the prose.
    pub(crate) const PROSE: [Self; 3] = [Self::Unreadable, Self::Wording, Self::CommentWidth];
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "sources that cannot be read",
            Self::ImportCycle => "import cycles between files",
            Self::RootImport => "imports through the crate root",
            Self::Layers => "imports against the layers",
            Self::TypeName => "type names used twice",
            Self::FileLength => "files that are too long",
            Self::FileDocs => "files that do not begin with //!",
            Self::DocumentPath => "paths in documents that do not exist",
            Self::Wording => "phrases that are not plain English",
            Self::CommentWidth => "comments over 100 columns",
        })
    }
}

/// A violation, with everything needed to find and fix it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) text: String,
}

impl Violation {
    pub(crate) fn new(rule: Rule, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { rule, text }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
