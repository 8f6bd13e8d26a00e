//! Locates the Go programs.

use std::path::{Path, PathBuf};

/// The folder into which `make interop` builds them.
const FOLDER: &str = "../target/interop";

/// Returns the path of one of the Go programs.
#[track_caller]
pub(crate) fn go_program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(FOLDER)
        .join(name);
    assert!(
        path.is_file(),
        "the Go programs are not built: run `make interop`, which builds them and runs these tests"
    );
    path
}
