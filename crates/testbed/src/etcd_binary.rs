//! Finds the etcd that the tests run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment variable that names an etcd to run instead of the one that `make etcd` builds.
const VARIABLE: &str = "ACTORGRID_ETCD";

/// An etcd that runs on this machine.
#[derive(Debug, Clone)]
pub(crate) struct EtcdBinary {
    pub(crate) path: PathBuf,
    /// The version, such as `3.6.16`.
    pub(crate) version: String,
}

impl EtcdBinary {
    /// Finds the etcd that `ACTORGRID_ETCD` names, else the one of `make etcd`, else the one in the
    /// search path.
    #[track_caller]
    pub(crate) fn find() -> Self {
        let named = std::env::var_os(VARIABLE);
        let search = std::env::var_os("PATH").unwrap_or_default();
        let Some(path) = choose(named.as_deref(), &workspace(), &search) else {
            panic!("this test needs etcd, but none was found: run `make etcd`, or set {VARIABLE}");
        };
        match version(&path) {
            Ok(version) => Self { path, version },
            Err(why) => panic!(
                "{} is not an etcd that runs here ({why}): run `make etcd`, or set {VARIABLE}",
                path.display()
            ),
        }
    }

    /// Returns the `etcdctl` beside it, else the one of `make etcd`, else the one in the search
    /// path.
    pub(crate) fn etcdctl(&self) -> PathBuf {
        [
            self.path.with_file_name("etcdctl"),
            workspace().join("target/etcd/etcdctl"),
        ]
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from("etcdctl"))
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn choose(named: Option<&OsStr>, workspace: &Path, search: &OsStr) -> Option<PathBuf> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    let built = workspace.join("target/etcd/etcd");
    std::iter::once(built)
        .chain(std::env::split_paths(search).map(|folder| folder.join("etcd")))
        .find(|path| path.is_file())
}

fn version(path: &Path) -> Result<String, String> {
    let output = Command::new(path)
        .arg("--version")
        .output()
        .map_err(|e| e.to_string())?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("etcd Version: "))
        .map(|version| version.trim().to_owned())
        .ok_or_else(|| format!("it prints no version: {output:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_etcd_precedes_the_built_one_and_that_the_system_s() {
        let folder = tempfile::tempdir().unwrap();
        let (workspace, system) = (folder.path().join("workspace"), folder.path().join("bin"));
        std::fs::create_dir_all(workspace.join("target/etcd")).unwrap();
        std::fs::create_dir_all(&system).unwrap();
        let search = std::env::join_paths([Path::new("/nowhere"), &system]).unwrap();
        let choose = |named: Option<&str>| choose(named.map(OsStr::new), &workspace, &search);

        assert_eq!(choose(None), None);
        std::fs::write(system.join("etcd"), "").unwrap();
        assert_eq!(choose(None), Some(system.join("etcd")));
        std::fs::write(workspace.join("target/etcd/etcd"), "").unwrap();
        assert_eq!(choose(None), Some(workspace.join("target/etcd/etcd")));
        assert_eq!(choose(Some("")), Some(workspace.join("target/etcd/etcd")));
        // A wrong path is reported; no other etcd is used in its place.
        assert_eq!(choose(Some("/opt/etcd")), Some("/opt/etcd".into()));
        assert!(version(Path::new("/opt/etcd")).is_err());
    }
}
