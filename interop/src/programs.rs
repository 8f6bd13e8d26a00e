//! Where the Go programs are.

use std::path::{Path, PathBuf};

/// Where `make interop` puts them.
const FOLDER: &str = "../target/interop";

/// One of the Go programs.
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
