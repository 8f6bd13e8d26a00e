//! The text of every file that the check reads, by its path below the workspace root.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

/// The documents that describe the sources.
pub(crate) const DOCUMENTS: [&str; 2] = ["ARCHITECTURE.md", "CONTRIBUTING.md"];

/// The sources of a workspace, all in memory, so that the rules do no I/O and their tests need no
/// folders.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: BTreeMap<String, String>,
    /// All files of the workspace, including those that are not read.
    paths: BTreeSet<String>,
}

impl Sources {
    /// Reads `Cargo.toml`, the documents and the `src` folder of each workspace member.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut sources = Self::default();
        sources.list_folder(root, "")?;
        for name in ["Cargo.toml"].into_iter().chain(DOCUMENTS) {
            let text = std::fs::read_to_string(root.join(name))?;
            sources.files.insert(name.to_owned(), text);
        }
        for member in sources.members() {
            let folder = format!("{member}/src");
            if root.join(&folder).is_dir() {
                sources.read_folder(root, &folder)?;
            }
        }
        Ok(sources)
    }

    /// Creates sources from the given files.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let owned = |&(path, text): &(&str, &str)| (path.to_owned(), text.to_owned());
        Self {
            files: files.iter().map(owned).collect(),
            paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
        }
    }

    /// Returns the folders of the workspace members, as `Cargo.toml` lists them.
    pub(crate) fn members(&self) -> Vec<String> {
        let manifest = self.text("Cargo.toml").unwrap_or_default();
        let Some((_, rest)) = manifest.split_once("\nmembers = [") else {
            return Vec::new();
        };
        let list = rest.split(']').next().unwrap_or_default();
        let quoted = list.split('"').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether this file exists or, for a path that ends with a slash, a folder that contains
    /// files.
    pub(crate) fn has_path(&self, path: &str) -> bool {
        match path.ends_with('/') {
            true => self.paths.iter().any(|file| file.starts_with(path)),
            false => self.paths.contains(path),
        }
    }

    /// Iterates over the Rust files below a folder with their text, without generated ones.
    pub(crate) fn rust_files<'a>(
        &'a self,
        folder: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .filter(move |(path, _)| {
                let below = path.strip_prefix(folder).and_then(|p| p.strip_prefix('/'));
                below.is_some_and(|p| p.ends_with(".rs") && !p.contains("generated/"))
            })
    }

    /// Lists the files below a folder, without hidden files and build output.
    fn list_folder(&mut self, root: &Path, folder: &str) -> io::Result<()> {
        for entry in std::fs::read_dir(root.join(folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            let path = format!("{folder}{name}");
            if entry.file_type()?.is_dir() {
                self.list_folder(root, &format!("{path}/"))?;
            } else {
                self.paths.insert(path);
            }
        }
        Ok(())
    }

    fn read_folder(&mut self, root: &Path, folder: &str) -> io::Result<()> {
        for entry in std::fs::read_dir(root.join(folder))? {
            let entry = entry?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.read_folder(root, &path)?;
            } else if path.ends_with(".rs") {
                let text = std::fs::read_to_string(entry.path())?;
                self.files.insert(path, text);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_from_the_manifest() {
        let manifest = "[workspace]\nresolver = \"3\"\nmembers = [\"crates/a\",\n \"b\"]\ndefault-members = [\"c\"]\n";
        assert_eq!(
            Sources::of(&[("Cargo.toml", manifest)]).members(),
            ["crates/a", "b"]
        );
    }

    #[test]
    fn generated_files_and_other_folders_are_left_out() {
        let sources = Sources::of(&[
            ("a/src/lib.rs", ""),
            ("a/src/wire/generated/x.rs", ""),
            ("ab/src/lib.rs", ""),
        ]);
        let paths: Vec<_> = sources.rust_files("a").map(|(path, _)| path).collect();
        assert_eq!(paths, ["a/src/lib.rs"]);
    }
}
