//! The text of every file of the workspace that has prose.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Folders without prose of ours: build output, generated code, and the data of tests.
const SKIPPED_FOLDERS: [&str; 3] = ["target", "generated", "compile_fail"];

/// Hidden files and folders are skipped, except for this one.
const CI_FOLDER: &str = ".ci";

/// All files in memory, so that the check does no I/O.
#[derive(Debug, Default)]
pub(crate) struct ProseFiles {
    texts: BTreeMap<String, String>,
}

impl ProseFiles {
    /// Reads the files below a folder.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut files = Self::default();
        files.read_folder(root, "")?;
        Ok(files)
    }

    /// Files that a test makes up.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let owned = |&(path, text): &(&str, &str)| (path.to_owned(), text.to_owned());
        Self {
            texts: files.iter().map(owned).collect(),
        }
    }

    /// The files by path, with their text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (&**path, &**text))
    }

    fn read_folder(&mut self, root: &Path, folder: &str) -> io::Result<()> {
        for entry in std::fs::read_dir(root.join(folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_folder = entry.file_type()?.is_dir();
            let is_hidden = name.starts_with('.') && name != CI_FOLDER;
            if is_hidden || (is_folder && SKIPPED_FOLDERS.contains(&&*name)) {
                continue;
            }
            let path = format!("{folder}{name}");
            if is_folder {
                self.read_folder(root, &format!("{path}/"))?;
            } else if has_prose(&path) {
                let text = std::fs::read_to_string(entry.path())?;
                self.texts.insert(path, text);
            }
        }
        Ok(())
    }
}

fn has_prose(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name.rsplit_once('.') {
        Some((_, extension)) => ["rs", "md", "sh", "toml", "proto", "go"].contains(&extension),
        None => name == "Makefile" || folder == CI_FOLDER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_documents_and_scripts_have_prose() {
        for path in [
            "a/b.rs",
            "A.md",
            "Makefile",
            ".ci/run",
            "tools/x.sh",
            "a/Cargo.toml",
        ] {
            assert!(has_prose(path), "{path}");
        }
        for path in [
            "Cargo.lock",
            "LICENSE",
            "a/b.stderr",
            "tools/etcd/go.mod",
            "x.svg",
        ] {
            assert!(!has_prose(path), "{path}");
        }
    }
}
