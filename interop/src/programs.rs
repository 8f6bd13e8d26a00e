//! Locates the programs of the Go library, and of the previous version of ours.

use std::path::{Path, PathBuf};

/// The folder into which `make interop` builds the Go programs.
const GO_FOLDER: &str = "../target/interop";
/// The folder into which `make interop-versions` builds those of the previous version.
const PREVIOUS_FOLDER: &str = "../target/interop/previous/bin";

/// Returns the path of one of the Go programs.
#[track_caller]
pub(crate) fn go_program(name: &str) -> PathBuf {
    program(GO_FOLDER, name).unwrap_or_else(|| {
        panic!(
            "the Go programs are not built: run `make interop`, which builds them and runs these tests"
        )
    })
}

/// Returns the path of one of the programs of the previous version.
#[track_caller]
pub(crate) fn previous_program(name: &str) -> PathBuf {
    program(PREVIOUS_FOLDER, name).unwrap_or_else(|| {
        panic!(
            "the previous version is not built: run `make interop-previous`, which builds it and runs these tests"
        )
    })
}

fn program(folder: &str, name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(name);
    path.is_file().then_some(path)
}
