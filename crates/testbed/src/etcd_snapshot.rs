//! A copy of the data of an etcd.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

/// The data that an etcd had at one moment. When dropped, it is removed.
#[derive(Debug)]
pub struct EtcdSnapshot(TempDir);

impl EtcdSnapshot {
    #[track_caller]
    pub(crate) fn of(data: &Path) -> Self {
        let copied = tempfile::tempdir().and_then(|folder| {
            copy(data, &folder.path().join("data"))?;
            Ok(Self(folder))
        });
        match copied {
            Ok(snapshot) => snapshot,
            Err(error) => panic!("the data of etcd cannot be copied: {error}"),
        }
    }

    #[track_caller]
    pub(crate) fn put_in_place_of(&self, data: &Path) {
        let replaced =
            fs::remove_dir_all(data).and_then(|()| copy(&self.0.path().join("data"), data));
        if let Err(error) = replaced {
            panic!("the data of etcd cannot be replaced: {error}");
        }
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &to)?,
            false => drop(fs::copy(entry.path(), to)?),
        }
    }
    Ok(())
}
